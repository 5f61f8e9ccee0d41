test_that("predictions are tibbles, one row an image, in order", {
  fit <- small_fit()
  frame <- planted_tibble()
  class <- predict(fit, frame)
  expect_s3_class(class, "tbl_df")
  expect_named(class, ".pred_class")
  expect_identical(levels(class$.pred_class), c("two", "ten"))
  prob <- predict(fit, frame, type = "prob")
  expect_named(prob, c(".pred_two", ".pred_ten"))
  expect_equal(prob$.pred_two + prob$.pred_ten, rep(1, nrow(frame)), tolerance = 1e-6)
  expect_identical(
    as.character(class$.pred_class), ifelse(prob$.pred_two >= prob$.pred_ten, "two", "ten")
  )
  backwards <- predict(fit, frame[rev(seq_len(nrow(frame))), ], type = "prob")
  expect_equal(backwards$.pred_two, rev(prob$.pred_two), tolerance = 1e-6)
})

test_that("newdata may be images of any form", {
  fit <- small_fit()
  frame <- planted_tibble(6L)
  prob <- predict(fit, frame, type = "prob")
  expect_equal(predict(fit, frame$image, type = "prob"), prob)
  expect_equal(predict(fit, planted(6L)$image, type = "prob"), prob)
})

test_that("variables of the formula that are no columns go with the fit", {
  skip_if_no_diglot()
  files <- planted_files(8L)
  folder <- dirname(files$image[1L])
  files$name <- basename(files$image)
  files$number <- rep(c(1, 9), length.out = nrow(files))
  files$image <- NULL
  train <- function(files, dir) {
    breaks <- c(0, 5, 10)
    image_classifier(
      cut(number, breaks) ~ file.path(dir, name), files,
      network = "mlp", epochs = 2, seed = 1
    )
  }
  fit <- train(files, folder)
  expect_identical(nrow(predict(fit, files["name"])), 8L)
  # also in another session, and where new data has a column of the same name
  again <- unserialize(serialize(fit, NULL))
  files$dir <- "elsewhere"
  expect_identical(predict(again, files), predict(fit, files["name"]))
  expect_identical(evaluate(again, files, resamples = 0)$n[1L], 8L)
  expect_error(predict(fit, files["number"]), "\"name\"", class = "diglot_error_input")
  expect_error(evaluate(fit, files["name"]), "\"number\"", class = "diglot_error_input")
})

test_that("what is one an image is data, and is asked of new data", {
  skip_if_no_diglot()
  data <- planted_tibble()
  number <- rep(1:2, length.out = nrow(data))
  image <- data$image
  label <- data$label
  spelt <- c(one = "two", two = "ten", strrep("x", 1e6)) # too large to be kept
  for (fit in list(
    image_classifier(factor(number) ~ image, data, network = "mlp", epochs = 1, seed = 1),
    image_classifier(factor(label) ~ image, network = "mlp", epochs = 1, seed = 1),
    image_classifier(factor(label, spelt[1:2]) ~ image, data, network = "mlp", epochs = 1, seed = 1)
  )) {
    expect_lt(object.size(fit$terms), 2e4)
    expect_identical(nrow(predict(fit, data)), nrow(data))
    expect_error(evaluate(fit, data["image"]), "no column", class = "diglot_error_input")
  }
})

test_that("no images give no rows", {
  fit <- fake_fit()
  none <- planted_tibble()[0L, ]
  expect_identical(dim(predict(fit, none)), c(0L, 1L))
  expect_identical(levels(predict(fit, none)$.pred_class), c("two", "ten"))
  expect_identical(names(predict(fit, none, type = "prob")), c(".pred_two", ".pred_ten"))
  expect_identical(nrow(predict(fit, none, type = "prob")), 0L)
  expect_identical(nrow(predict(fit, array(0L, c(0L, 16L, 18L)))), 0L)
  expect_identical(nrow(predict(fit, character())), 0L)
  expect_identical(
    names(augment(fit, none)), c("image", "label", ".pred_class", ".pred_two", ".pred_ten")
  )
})

test_that("newdata is checked before Python is asked", {
  fit <- fake_fit()
  expect_error(predict(fit), "newdata", class = "diglot_error_input")
  expect_error(predict(fit, data.frame(imag = "a")), "\"image\"", class = "diglot_error_input")
  expect_error(predict(fit, planted_tibble(), type = "sets"), "prob", class = "diglot_error_input")
  expect_error(
    predict(fit, tibble::tibble(image = c("a.png", NA))), "row 2",
    class = "diglot_error_input"
  )
})

test_that("the wrong channels are refused", {
  fit <- small_fit()
  expect_error(
    predict(fit, array(0L, c(2L, 16L, 18L, 4L))), "channel",
    class = "diglot_error_input"
  )
})

test_that("ties go to the first level", {
  tied <- diglot:::class_column(fake_fit(), matrix(0.5, 2L, 2L))
  expect_identical(as.character(tied$.pred_class), c("two", "two"))
})

test_that("a fit scores with 8-bit integers where that is asked for", {
  skip_if_no_diglot()
  data <- planted_tibble(8L)
  learn <- function(precision) {
    image_classifier(
      label ~ image, data,
      network = "convnet", epochs = 2, batch_size = 8, seed = 1, precision = precision
    )
  }
  integers <- learn("int8")
  floats <- learn("float32")
  expect_identical(fingerprint(integers), fingerprint(floats))
  words <- "^answers as float32 for [0-9.]+ % of 8 training images$"
  expect_match(integers$lineage[["int8"]], words)
  p <- as.matrix(predict(integers, data, type = "prob"))
  q <- as.matrix(predict(floats, data, type = "prob"))
  expect_false(identical(p, q))
  expect_lt(max(abs(p - q)), 0.1)
  expect_error(learn("int4"), "precision", class = "diglot_error_input")
})
