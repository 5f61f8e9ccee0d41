# Where a fit computes. What a GPU does is tested in Python.

# Python code in this session's Python.
in_python <- function(...) reticulate::py_run_string(paste(c(...), collapse = "\n"), local = TRUE)

# The bytes of a fit as they would be, had it been made on a GPU.
made_on_gpu <- function(fit, device) {
  said <- in_python(
    "def made(data, device):",
    "    from diglot import storage",
    "    tensors, meta = storage.decode(bytes(data))",
    "    meta['settings']['device'], meta['device'] = device, 'gpu:0'",
    "    return bytearray(storage.encode(tensors, meta))"
  )
  said$made(fit$model, device)
}

without_gpu <- function() {
  skip_if_no_diglot()
  skip_if("gpu" %in% devices()$kind[nzchar(devices()$engine)], "this machine has a GPU")
}

test_that("a file's GPU that is not here is told of once, by load_model() and readRDS()", {
  without_gpu()
  fit <- small_fit()
  frame <- planted_tibble(6L)
  file <- withr::local_tempfile(fileext = ".safetensors")
  for (device in list("gpu", "gpu:1", list("gpu:0", "gpu:1"))) {
    writeBin(made_on_gpu(fit, device), file)
    loaded <- load_model(file)
    expect_warning(
      found <- predict(loaded, frame, type = "prob"), "cpu computes in its place.*devices\\(\\)",
      class = "diglot_warning"
    )
    expect_identical(found, predict(fit, frame, type = "prob"))
    expect_no_warning(predict(loaded, frame))
  }
  stored <- fit
  stored$model <- made_on_gpu(fit, "gpu")
  stored$cache <- new.env()
  stored <- unserialize(serialize(stored, NULL))
  expect_warning(found <- predict(stored, frame), "cpu computes", class = "diglot_warning")
  expect_identical(found, predict(fit, frame))
  expect_warning(
    longer <- update(stored, planted_tibble(), epochs = 1), "cpu computes",
    class = "diglot_warning"
  )
  expect_identical(longer$device, "cpu")
})

test_that("a GPU that is asked for here is an error where there is none", {
  without_gpu()
  expect_error(
    image_classifier(label ~ image, planted_tibble(8L), network = "mlp", device = "gpu"),
    "device=\"gpu.*was asked for",
    class = "diglot_error_device"
  )
})
