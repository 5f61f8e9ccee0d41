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

test_that("an engine that is none is refused by name", {
  skip_if_no_diglot()
  expect_error(on_engine("caffe"), "engine must be one of .*'caffe'", class = "diglot_error_input")
})
