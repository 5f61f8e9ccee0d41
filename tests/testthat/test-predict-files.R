test_that("files are answered as their pixels are, from a folder, names or a data frame", {
  fit <- small_fit()
  files <- planted_files()
  pixels <- planted_tibble(12L)
  expect_silent(found <- predict_files(fit, files))
  expect_s3_class(found, "tbl_df")
  expect_named(found, c("file", ".pred_class", ".pred_two", ".pred_ten"))
  expect_identical(found$file, files$image)
  expect_identical(found$.pred_class, predict(fit, pixels)$.pred_class)
  expect_identical(found[3:4], predict(fit, pixels, type = "prob"), ignore_attr = TRUE)
  expect_identical(predict_files(fit, files$image), found)
  expect_identical(
    basename(predict_files(fit, dirname(files$image[1L]))$file), basename(files$image)
  )
  expect_named(predict_files(fit, files, proba = FALSE), c("file", ".pred_class"))
  expect_identical(nrow(failures(found)), 0L)
  expect_named(failures(found), c("row", "file", "kind", "message"))
})

test_that("bad files stop the run, or are reported", {
  fit <- small_fit()
  files <- planted_files()$image
  folder <- dirname(files[1L])
  whole <- readBin(files[1L], "raw", 1e5)
  bad <- file.path(folder, c("cut.png", "none.png", "text.png", "inside", "gone.png"))
  writeBin(whole[seq_len(length(whole) %/% 2L)], bad[1L])
  file.create(bad[2L])
  writeLines("no image", bad[3L])
  dir.create(bad[4L])
  mixed <- append(files, bad, 3L)
  for (file in bad) {
    expect_error(
      predict_files(fit, c(files, file)), basename(file),
      fixed = TRUE, class = "diglot_error_image"
    )
  }
  expect_warning(
    found <- predict_files(fit, mixed, on_error = "report"), "5 of 17 files .* row 4",
    class = "diglot_warning"
  )
  expect_identical(failures(found)$row, 4:8)
  expect_identical(failures(found)$file, bad)
  expect_identical(
    failures(found)$kind, c("damaged", "empty", "not_image", "folder", "missing")
  )
  expect_identical(found, predict_files(fit, files), ignore_attr = TRUE)
})

test_that("answers go to a file that R reads", {
  fit <- small_fit()
  files <- planted_files()$image
  want <- predict_files(fit, files)
  output <- withr::local_tempfile(fileext = ".csv")
  back <- withVisible(predict_files(fit, files, output = output))
  expect_false(back$visible)
  expect_identical(as.vector(back$value), output)
  expect_identical(nrow(failures(back$value)), 0L)
  told <- utils::read.csv(output)
  expect_named(told, c("file", "predicted", "prob_two", "prob_ten"))
  expect_identical(told$file, files)
  expect_identical(told$predicted, as.character(want$.pred_class))
  expect_equal(told$prob_ten, want$.pred_ten, tolerance = 1e-14)
  expect_error(
    predict_files(fit, c(files, "gone.png"), output = output), "gone.png",
    class = "diglot_error_image"
  )
  expect_identical(utils::read.csv(output), told)

  skip_if_not(reticulate::py_module_available("pyarrow.parquet"))
  output <- withr::local_tempfile(fileext = ".parquet")
  predict_files(fit, files, output = output)
  told <- reticulate::import("pyarrow.parquet")$read_table(output)$to_pydict()
  expect_identical(unlist(told$file), files)
  expect_identical(unlist(told$predicted), as.character(want$.pred_class))
  expect_identical(unlist(told$prob_two), want$.pred_two)
})

test_that("numbers, tags, covariates and the baseline are spelt as by predict()", {
  skip_if_no_diglot()
  files <- planted_files()
  files$size <- 3 * (files$label == "ten") + sin(seq_len(12L))
  files$big <- files$size > 1
  files$low <- files$label == "ten"
  quick <- function(fit, ...) fit(..., files, network = "mlp", epochs = 1, seed = 1)

  fit <- quick(image_regressor, size ~ image)
  expect_identical(predict_files(fit, files)[-1L], predict(fit, files), ignore_attr = TRUE)
  fit <- image_regressor(
    size ~ image, files,
    network = "mlp", epochs = 1, seed = 1, family = "quantile", quantiles = c(0.1, 0.5, 0.9)
  )
  found <- predict_files(fit, files)
  expect_identical(found[3:5], predict(fit, files, type = "quantile"), ignore_attr = TRUE)
  expect_identical(found$.pred, found$.pred_0.5)

  fit <- quick(image_tagger, cbind(big, low) ~ image)
  found <- predict_files(fit, files)
  expect_named(found, c("file", ".pred_class_big", ".pred_class_low", ".pred_big", ".pred_low"))
  expect_identical(found[4:5], predict(fit, files, type = "prob"), ignore_attr = TRUE)
  classes <- predict_files(fit, files, proba = FALSE)[-1L]
  expect_identical(classes, predict(fit, files), ignore_attr = TRUE)

  fit <- quick(image_classifier, label ~ image + size)
  found <- predict_files(fit, files)
  expect_identical(found[3:4], predict(fit, files, type = "prob"), ignore_attr = TRUE)

  fit <- hog_classifier(label ~ image, files, inner_folds = 2)
  found <- predict_files(fit, files)
  expect_identical(found[3:4], predict(fit, files, type = "prob"), ignore_attr = TRUE)
})

test_that("what cannot be used is refused, and the defaults are Python's", {
  fit <- small_fit()
  expect_error(predict_files(fit), "newdata", class = "diglot_error_input")
  expect_error(predict_files(1, "x"), "fit", class = "diglot_error_input")
  expect_error(predict_files(fit, planted_tibble(4L)), "in memory", class = "diglot_error_input")
  expect_error(
    predict_files(fit, "a.png", on_error = "skip"), "on_error",
    class = "diglot_error_input"
  )
  expect_error(predict_files(fit, "a.png", proba = NA), "proba", class = "diglot_error_input")
  expect_error(predict_files(fit, "a.png", output = 1), "output", class = "diglot_error_input")
  expect_error(
    predict_files(fit, "a.png", output = "x.txt"), "parquet",
    class = "diglot_error_input"
  )
  expect_error(
    predict_files(fit, c("a.png", NA), on_error = "report"), "row 2",
    class = "diglot_error_input"
  )
  expect_error(failures(1), "predict_files", class = "diglot_error_input")
  expect_identical(nrow(predict_files(fit, character())), 0L)

  theirs <- call_bridge("predict_files_defaults")
  ours <- formals(predict_files)
  withr::local_options(diglot.verbose = NULL)
  expect_setequal(names(theirs), setdiff(names(ours), c("fit", "newdata")))
  expect_null(theirs$output)
  expect_identical(theirs$on_error, eval(ours$on_error)[1L])
  expect_identical(theirs$proba, ours$proba)
  expect_identical(theirs$verbose, eval(ours$verbose))
})

test_that("a machine, which predicts nothing, is refused", {
  machine <- rbm(planted()$image, n_hidden = 4, epochs = 1, seed = 1)
  expect_error(predict_files(machine, planted_files()), "features", class = "diglot_error_input")
})
