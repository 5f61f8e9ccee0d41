# How fits score: files one after the other, with integers, and what may go wrong beside it.

# Sets something within the Python core for one test.
patch_core <- function(module, name, value, env = parent.frame()) {
  core <- reticulate::import_from_path(module, system.file("python", package = "diglot"))
  before <- reticulate::py_get_attr(core, name)
  withr::defer(reticulate::py_set_attr(core, name, before), envir = env)
  reticulate::py_set_attr(core, name, value)
}

failing <- function(error) {
  reticulate::py_run_string(
    sprintf("def fail(*args):\n    raise %s", error),
    local = TRUE
  )$fail
}

integer_fit <- function(...) {
  skip_if_no_diglot()
  image_classifier(
    label ~ image, planted_tibble(),
    network = "mlp", epochs = 3, batch_size = 8, seed = 1, ...
  )
}

test_that("predict(), evaluate() and embed() keep no decoded image of files", {
  fit <- small_fit()
  files <- planted_files()
  prob <- predict(fit, files, type = "prob")
  judged <- evaluate(fit, files)
  patch_core("diglot.images.cache", "ArrayStore", failing("AssertionError('room')"))
  expect_error(update(fit, files, epochs = 1), "room") # which keeps them
  expect_identical(predict(fit, files, type = "prob"), prob)
  expect_identical(evaluate(fit, files), judged)
  expect_identical(nrow(embed(fit, files)), 12L)
})

test_that("integers are kept by saveRDS() and load_model(), and are near float32", {
  fit <- integer_fit(precision = "int8")
  plain <- integer_fit(precision = "float32")
  frame <- planted_tibble(12L)
  prob <- predict(fit, frame, type = "prob")
  floats <- predict(plain, frame, type = "prob")
  expect_identical(fingerprint(fit), fingerprint(plain))
  expect_false(identical(prob, floats))
  expect_equal(prob, floats, tolerance = 0.05)
  expect_match(paste(capture.output(summary(fit)), collapse = " "), "% of 40 training images")
  stored <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, stored)
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  for (again in list(readRDS(stored), load_model(file))) {
    expect_identical(predict(again, frame, type = "prob"), prob)
    expect_match(paste(capture.output(summary(again)), collapse = " "), "% of 40 training images")
  }
  skip_if_not_installed("callr")
  there <- callr::r(
    function(stored, frame) {
      library(diglot)
      predict(readRDS(stored), frame, type = "prob")
    },
    list(stored = stored, frame = frame),
    libpath = c(dirname(system.file(package = "diglot")), .libPaths())
  )
  expect_identical(there, prob)
})

test_that("a fit outlives its calibration", {
  skip_if_no_diglot()
  for (error in c("MemoryError()", "KeyboardInterrupt()")) {
    patch_core("diglot.estimators.precision", "measure_ranges", failing(error))
    expect_warning(
      fit <- integer_fit(precision = "int8"), "whole, but scores in float32",
      class = "diglot_warning"
    )
    expect_identical(fingerprint(fit), fingerprint(integer_fit(precision = "float32")))
  }
  expect_warning(
    fit <- train_captions(captions ~ image, data = drawn(), precision = "int8"),
    "whole, but scores in float32",
    class = "diglot_warning"
  )
  expect_identical(nrow(predict(fit, drawn(3L))), 3L)
})

test_that("mixed precision is PyTorch's, and near float32", {
  skip_if_no_diglot()
  expect_error(
    integer_fit(precision = "mixed", engine = "mxnet"), "engine=\"torch\"",
    class = "diglot_error_input"
  )
  expect_error(integer_fit(precision = "int4"), "precision", class = "diglot_error_input")
  skip_if_no_torch()
  fit <- integer_fit(precision = "mixed", engine = "torch")
  plain <- integer_fit(precision = "float32", engine = "torch")
  frame <- planted_tibble(12L)
  mixed <- predict(fit, frame, type = "prob")
  expect_false(identical(fingerprint(fit), fingerprint(plain)))
  expect_equal(mixed, predict(plain, frame, type = "prob"), tolerance = 0.1)
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  expect_equal(predict(load_model(file), frame, type = "prob"), mixed, tolerance = 0.05)
})

test_that("what PyTorch trained is measured for MXNet's integers", {
  skip_if_no_torch()
  patch_core("diglot.estimators.precision", "LEAST_WORK", 0)
  fit <- integer_fit(engine = "torch")
  expect_identical(fit$engine, "torch")
  expect_match(paste(capture.output(summary(fit)), collapse = " "), "% of 40 training images")
})
