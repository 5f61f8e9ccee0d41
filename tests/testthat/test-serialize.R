library_path <- function() c(dirname(system.file(package = "diglot")), .libPaths())

test_that("saveRDS carries a fit into a fresh process", {
  skip_if_not_installed("callr")
  fit <- small_fit()
  frame <- planted_tibble(6L)
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, file)
  there <- callr::r(
    function(file, frame) {
      library(diglot)
      fit <- readRDS(file)
      list(
        prob = predict(fit, frame, type = "prob"), print = fingerprint(fit),
        again = fingerprint(update(fit, frame, epochs = 1))
      )
    },
    list(file = file, frame = frame),
    libpath = library_path()
  )
  expect_identical(there$prob, predict(fit, frame, type = "prob"))
  expect_identical(there$print, fingerprint(fit))
  expect_identical(there$again, fingerprint(update(fit, frame, epochs = 1)))
})

test_that("a fit that lost its live model revives it, here too", {
  fit <- small_fit()
  again <- unserialize(serialize(fit, NULL))
  expect_equal(predict(again, planted_tibble(6L)), predict(fit, planted_tibble(6L)))
  expect_false(is.null(again$cache$model))
})

test_that("a fit goes to PSOCK workers", {
  skip_if_not_installed("parallel")
  fit <- small_fit()
  frame <- planted_tibble(6L)
  cluster <- parallel::makePSOCKcluster(2L)
  withr::defer(parallel::stopCluster(cluster))
  libraries <- library_path()
  parallel::clusterCall(cluster, function(path) .libPaths(path), libraries)
  halves <- parallel::parLapply(
    cluster, list(frame[1:3, ], frame[4:6, ]),
    function(part, fit) {
      library(diglot)
      predict(fit, part, type = "prob")
    },
    fit = fit
  )
  expect_equal(do.call(rbind, halves), predict(fit, frame, type = "prob"), tolerance = 1e-6)
})

test_that("model files go both ways between R and Python", {
  fit <- small_fit()
  file <- withr::local_tempfile(fileext = ".safetensors")
  expect_identical(save_model(fit, file), file)
  again <- load_model(file)
  expect_identical(fingerprint(again), fingerprint(fit))
  expect_identical(again$levels, fit$levels)
  expect_identical(again$history, fit$history)
  frame <- planted_tibble(6L)
  expect_equal(predict(again, frame), predict(fit, frame))

  other <- withr::local_tempfile(fileext = ".safetensors")
  said <- python_says(c(
    "import diglot, numpy as np",
    sprintf("model = diglot.load(r'%s')", file),
    "print(model.fingerprint())",
    "print(list(model.classes_))",
    "x = (np.arange(20 * 8 * 8) * 7919 % 256).reshape(20, 8, 8).astype('uint8')",
    "new = diglot.ImageClassifier('mlp', epochs=1, seed=1, verbose=False)",
    "new.fit(x, np.arange(20) % 2 + 3)",
    sprintf("new.save(r'%s')", other),
    "print(new.fingerprint())"
  ))
  expect_true(fingerprint(fit) %in% said)
  expect_match(said, "two.*ten", all = FALSE)
  theirs <- load_model(other)
  expect_true(fingerprint(theirs) %in% said)
  expect_identical(theirs$levels, c("3", "4"))
  expect_output(print(theirs), "mlp")
})

# The same model as the next version of the file format may write it.
of_newer_format <- function(bytes) {
  length <- sum(as.integer(bytes[1:4]) * 256^(0:3))
  header <- rawToChar(bytes[8L + seq_len(length)])
  newer <- sub('\\"format\\":1', '\\"format\\":2', header, fixed = TRUE)
  stopifnot(newer != header, nchar(newer) == nchar(header))
  c(bytes[1:8], charToRaw(newer), bytes[-seq_len(8L + length)])
}

test_that("a fit or a model file of a newer format says what to do", {
  fit <- small_fit()
  newer <- unserialize(serialize(fit, NULL))
  newer$model <- of_newer_format(newer$model)
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(newer, file)
  again <- readRDS(file)
  frame <- planted_tibble(6L)
  refused <- function(does) {
    told <- expect_error(does, "format version 2", class = "diglot_error_model_file")
    expect_match(conditionMessage(told), "install a newer diglot")
  }
  refused(predict(again, frame))
  refused(predict(again, frame, type = "prob"))
  refused(update(again, frame, epochs = 1))
  model <- withr::local_tempfile(fileext = ".safetensors")
  writeBin(newer$model, model)
  refused(load_model(model))
  # What R itself keeps of a fit can still be looked at.
  expect_identical(again$history, fit$history)
  expect_output(print(again), "mlp")
  # And a fit of this version goes the same way without a word.
  saveRDS(fit, file)
  expect_identical(predict(readRDS(file), frame), predict(fit, frame))
})

test_that("ordered factors survive the file", {
  skip_if_no_diglot()
  data <- planted()
  fit <- image_classifier(
    data$image, as.ordered(data$label),
    network = "mlp", epochs = 1, seed = 1
  )
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  expect_s3_class(predict(load_model(file), data$image)$.pred_class, "ordered")
})

test_that("files that are no model are refused by class", {
  expect_error(save_model(1, "a"), class = "diglot_error_input")
  expect_error(save_model(fake_fit(), "/no/such/folder/x"), "folder", class = "diglot_error_input")
  expect_error(load_model(NA), class = "diglot_error_input")
  skip_if_no_diglot()
  file <- withr::local_tempfile()
  writeLines("no model", file)
  expect_error(load_model(file), basename(file), class = "diglot_error_model_file")
  expect_error(load_model(paste0(file, "-gone")), "gone", class = "diglot_error")
})
