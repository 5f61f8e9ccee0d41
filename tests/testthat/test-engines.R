# The engine is a setting like others; what it computes is tested in Python.

test_that("a fit says what trained it", {
  skip_if_no_diglot()
  expect_identical(on_engine("mxnet")$engine, "mxnet")
  expect_match(capture.output(print(on_engine("auto"))), "cpu (mxnet), seed 1",
    fixed = TRUE, all = FALSE
  )
  skip_if_no_torch()
  expect_match(capture.output(print(on_engine("torch"))), "cpu (torch), seed 1",
    fixed = TRUE, all = FALSE
  )
})

test_that("both engines learn the same", {
  skip_if_no_torch()
  first <- on_engine("mxnet")
  second <- on_engine("torch")
  frame <- planted_tibble(10L)
  expect_equal(
    predict(second, frame, type = "prob"), predict(first, frame, type = "prob"),
    tolerance = 1e-4
  )
  expect_true("torch" %in% names(second$versions))
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(second, file)
  expect_equal(predict(load_model(file), frame), predict(second, frame), tolerance = 1e-4)
  machine <- rbm(planted()$image, n_hidden = 4, epochs = 1, seed = 1, engine = "torch")
  expect_identical(machine$engine, "torch")
})

# R's own BLAS must not serve PyTorch's matrix products, nor MXNet's.
test_that("on each engine the fit is that of Python, to the byte", {
  skip_if_no_torch()
  engines <- c("mxnet", "torch")
  said <- python_says(c(
    "import diglot",
    "data = diglot.shapes(60, 1, size=32)",
    "labels = [texts[0].split()[1] for texts in data['captions']]",
    sprintf("for engine in ('%s', '%s'):", engines[1L], engines[2L]),
    "    model = diglot.ImageClassifier('lenet', engine=engine, epochs=2, seed=1, verbose=False)",
    "    print(model.fit(data[['image']], labels).fingerprint())"
  ))
  data <- shapes(60, seed = 1, size = 32)
  first <- vapply(data$captions, function(texts) texts[1L], "")
  data$label <- vapply(strsplit(first, " ", fixed = TRUE), function(words) words[2L], "")
  ours <- vapply(engines, function(engine) {
    fingerprint(
      image_classifier(
        label ~ image, data,
        network = "lenet", engine = engine, epochs = 2, seed = 1
      )
    )
  }, "")
  expect_identical(unname(ours), said)
})

test_that("features of a network are the same from both engines", {
  skip_if_no_torch()
  fit <- on_engine("mxnet")
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  net <- pretrained(weights = file)
  frame <- planted_tibble(6L)
  first <- embed(net, frame, engine = "mxnet")
  second <- embed(net, frame, engine = "torch")
  expect_equal(second, first, tolerance = 1e-5)
  expect_identical(embed(net, frame), first)
  expect_error(embed(net, frame, engine = "caffe"), "engine must be one of .*'caffe'",
    class = "diglot_error_input"
  )
})

test_that("an engine that is none is refused by name", {
  skip_if_no_diglot()
  expect_error(on_engine("caffe"), "engine must be one of .*'caffe'", class = "diglot_error_input")
})

test_that("what one engine has learned, the other goes on with", {
  skip_if_no_torch()
  frame <- planted_tibble()
  for (engines in list(c("mxnet", "torch"), c("torch", "mxnet"))) {
    fit <- on_engine(engines[1L])
    file <- withr::local_tempfile(fileext = ".safetensors")
    save_model(fit, file)
    other <- load_model(file, engine = engines[2L])
    expect_equal(
      predict(other, frame, type = "prob"), predict(fit, frame, type = "prob"),
      tolerance = 1e-4
    )
    # also where the live model is gone and revived from the fit's bytes
    other$cache$model <- NULL
    tuned <- fine_tune(other, label ~ image, frame, epochs = 1, seed = 1, engine = engines[2L])
    expect_identical(tuned$engine, engines[2L])
  }
  expect_error(load_model(file, engine = "caffe"), "engine must be", class = "diglot_error_input")
})

test_that("a fit keeps its engine, whatever is made of it", {
  skip_if_no_torch()
  frame <- planted_tibble()
  fit <- on_engine("mxnet")
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  loaded <- load_model(file, engine = "torch")
  labels <- frame$label
  expect_identical(update(loaded, frame["image"], labels)$engine, "torch")
  fits <- list(
    on_engine("torch"), suppressWarnings(calibrate(loaded, frame["image"], labels)),
    conformalize(loaded, frame["image"], labels), unserialize(serialize(loaded, NULL))
  )
  for (other in fits) {
    expect_identical(other$settings$engine, "torch")
    again <- unserialize(serialize(other, NULL)) # as readRDS() does
    predict(again, frame["image"])
    expect_identical(again$cache$model$engine, "torch")
    expect_identical(suppressWarnings(update(again, frame["image"], labels))$engine, "torch")
  }
  mixed <- on_engine("torch", precision = "mixed", device = "cpu")
  expect_identical(update(mixed, frame)$engine, "torch")
})

test_that("a tagger keeps its engine, too", {
  skip_if_no_torch()
  data <- planted_tibble()
  data$two <- data$label == "two"
  data$odd <- seq_len(nrow(data)) %% 3L == 0L
  fit <- image_tagger(
    cbind(two, odd) ~ image, data,
    network = "mlp", epochs = 1, seed = 1, engine = "torch"
  )
  expect_identical(tune_thresholds(fit, data)$settings$engine, "torch")
})

test_that("a fit that one engine began is resumed on the other", {
  skip_if_no_torch()
  whole <- on_engine("mxnet")
  folder <- withr::local_tempdir()
  cut <- tryCatch(
    on_engine("mxnet",
      checkpoint = folder, callbacks = function(row) if (row$epoch == 2) stop("power cut")
    ),
    diglot_error_callback = identity
  )
  expect_s3_class(cut, "diglot_error_callback")
  resumed <- on_engine("torch", resume = folder)
  expect_identical(resumed$engine, "torch")
  expect_identical(nrow(tidy(resumed)), 3L)
  frame <- planted_tibble(10L)
  expect_equal(
    predict(resumed, frame, type = "prob"), predict(whole, frame, type = "prob"),
    tolerance = 1e-4
  )
})

test_that("numbers and captions are learned by PyTorch", {
  skip_if_no_torch()
  numbers <- image_regressor(
    size ~ image, measured(),
    network = "mlp", epochs = 1, batch_size = 8, seed = 1, engine = "torch"
  )
  expect_identical(numbers$engine, "torch")
  expect_true(all(is.finite(predict(numbers, measured())$.pred)))
  data <- shapes(16, seed = 1, size = 32)
  captioner <- image_captioner(
    captions ~ image, data,
    hidden = 16, embedding = 8, epochs = 1, batch_size = 8, seed = 1, engine = "torch"
  )
  expect_identical(captioner$engine, "torch")
  expect_type(predict(captioner, data[1:2, ])$.pred_caption, "character")
})

test_that("without MXNet everything runs on PyTorch", {
  skip_if_no_torch()
  skip_on_cran()
  skip_if_not_installed("callr")
  folder <- withr::local_tempdir()
  # Python runs this file at its start, and finds no MXNet any more
  writeLines(c(
    "import sys",
    "class Hides:",
    "    def find_spec(self, name, path=None, target=None):",
    "        if name.partition('.')[0] == 'mxnet':",
    "            raise ModuleNotFoundError(\"No module named 'mxnet'\", name='mxnet')",
    "sys.meta_path.insert(0, Hides())"
  ), file.path(folder, "sitecustomize.py"))
  told <- callr::r(
    function(frame) {
      library(diglot)
      fit <- image_classifier(
        label ~ image, frame,
        network = "mlp", epochs = 1, batch_size = 8, seed = 1
      )
      list(
        engine = fit$engine, rows = nrow(predict(fit, frame)), devices = devices()$engine[1L],
        setup = check_setup()
      )
    },
    list(frame = planted_tibble()),
    libpath = c(dirname(system.file(package = "diglot")), .libPaths()),
    env = c(callr::rcmd_safe_env(),
      PYTHONPATH = folder, RETICULATE_PYTHON = reticulate::py_config()$python
    )
  )
  expect_identical(told$engine, "torch")
  expect_identical(told$rows, 40L)
  expect_match(told$devices, "^torch ")
  expect_false(told$setup$ok[told$setup$requirement == "MXNet"])
})

test_that("a GPU of PyTorch's trains", {
  skip_if_no_torch()
  gpus <- devices()
  skip_if_not(any(gpus$kind == "gpu" & grepl("torch", gpus$engine)), "PyTorch sees no GPU")
  fit <- on_engine("torch", device = "gpu")
  expect_identical(fit$device, "gpu:0")
  again <- on_engine("torch", device = "gpu")
  expect_identical(fingerprint(again), fingerprint(fit))
})
