# Small and quick: the planted images, whose classes anything can tell apart.
folds_of <- function(..., data = planted_tibble(), folds = 3, metrics = c("accuracy", "log_loss")) {
  cross_validate(
    label ~ image, data,
    network = "mlp", epochs = 1, batch_size = 8, folds = folds, metrics = metrics, ...
  )
}

grouped <- function() {
  data <- planted_tibble()
  data$patient <- rep(sprintf("p%02d", 1:10), each = 4)
  data
}

test_that("a formula gives a tibble of folds", {
  skip_if_no_diglot()
  found <- folds_of(seed = 3)
  expect_s3_class(found, c("diglot_resamples", "tbl_df"))
  expect_named(found, c(
    "repeat", "fold", "n_train", "n_test", "seconds", "seed", "accuracy", "log_loss"
  ))
  expect_identical(found$fold, 1:3)
  expect_identical(sum(found$n_test), 40L)
  expect_length(unique(found$seed), 3L)
  expect_identical(attr(found, "seed"), 3L)
  expect_identical(attr(found, "jobs"), 1L)
  expect_identical(nrow(attr(found, "failures")), 0L)
  expect_output(print(found), "3 folds, seed 3")
})

test_that("the summary is Nadeau's and Bengio's interval", {
  skip_if_no_diglot()
  found <- folds_of(repeats = 2)
  table <- summary(found, level = 0.9)
  expect_named(table, c("metric", "estimate", "lower", "upper", "method", "n"))
  x <- found$log_loss
  variance <- (1 / 6 + mean(found$n_test / found$n_train)) * var(x)
  half <- qt(0.95, 5) * sqrt(variance)
  row <- table[table$metric == "log_loss", ]
  expect_equal(row$estimate, mean(x))
  expect_equal(row$upper, mean(x) + half)
  expect_equal(row$lower, max(0, mean(x) - half))
  expect_identical(row$n, 6L)
  # after a round trip through a file, no Python object is needed
  file <- withr::local_tempfile()
  saveRDS(found, file)
  expect_equal(summary(readRDS(file), 0.9), table)
})

test_that("predictions are of images that were not trained on, and are those of the folds", {
  skip_if_no_diglot()
  data <- planted_tibble()
  found <- folds_of()
  kept <- augment(found)
  expect_named(kept, c(
    ".row", "repeat", "fold", "truth", ".pred_class", ".pred_two", ".pred_ten"
  ))
  expect_identical(sort(kept$.row), 1:40)
  expect_identical(kept$truth, data$label[kept$.row])
  expect_identical(levels(kept$.pred_class), c("two", "ten"))
  expect_equal(kept$.pred_two + kept$.pred_ten, rep(1, 40))
  hits <- tapply(kept$.pred_class == kept$truth, kept$fold, mean)
  expect_equal(as.vector(hits), found$accuracy)
  # a fold by hand
  mine <- kept$.row[kept$fold == 2]
  fit <- image_classifier(
    label ~ image, data[-mine, ],
    network = "mlp", epochs = 1, batch_size = 8, seed = found$seed[2L]
  )
  expect_equal(
    predict(fit, data[mine, ], type = "prob")$.pred_ten, kept$.pred_ten[kept$fold == 2]
  )
})

test_that("groups stay together, however they are named", {
  skip_if_no_diglot()
  data <- grouped()
  patients <- data$patient
  by_formula <- folds_of(data = data, groups = ~patient)
  expect_identical(augment(folds_of(data = data, groups = patient)), augment(by_formula))
  expect_identical(augment(folds_of(data = data, groups = patients)), augment(by_formula))
  images <- cross_validate(
    data["image"], data$label,
    groups = patients, network = "mlp", epochs = 1, batch_size = 8, folds = 3, metrics = "accuracy"
  )
  expect_identical(augment(images), augment(by_formula))
  kept <- augment(by_formula)
  places <- tapply(kept$fold, patients[kept$.row], function(fold) length(unique(fold)))
  expect_true(all(places == 1L))
})

test_that("a seed repeats the folds, NULL draws one from R", {
  skip_if_no_diglot()
  expect_identical(augment(folds_of()), augment(folds_of(seed = 0)))
  drawn <- withr::with_seed(5, folds_of(seed = NULL))
  expect_identical(attr(drawn, "seed"), withr::with_seed(5, sample.int(.Machine$integer.max, 1L)))
  withr::local_seed(1)
  before <- .Random.seed
  folds_of()
  expect_identical(.Random.seed, before)
})

test_that("folds side by side are those of one after the other", {
  skip_if_no_diglot()
  hog <- function(jobs) {
    cross_validate(
      label ~ image, planted_tibble(),
      model = "hog", folds = 2, metrics = "log_loss", jobs = jobs
    )
  }
  two <- hog(2)
  expect_identical(attr(two, "jobs"), 2L)
  expect_equal(augment(two), augment(hog(1)))
})

test_that("a network in processes of its own works from R", {
  skip_if_no_diglot()
  found <- folds_of(jobs = 2)
  expect_equal(augment(found)$.pred_ten, augment(folds_of())$.pred_ten, tolerance = 1e-5)
})

test_that("covariates, families and the baseline are resampled, too", {
  skip_if_no_diglot()
  data <- planted_tibble()
  data$age <- seq_len(40) / 10
  settings <- list(network = "mlp", epochs = 1, batch_size = 8, folds = 2)
  run <- function(...) do.call(cross_validate, c(list(...), settings))
  expect_true("accuracy" %in% names(run(label ~ image + age, data)))
  numbers <- run(age ~ image, data, family = "gaussian")
  expect_true("rmse" %in% names(numbers))
  expect_named(augment(numbers), c(".row", "repeat", "fold", "truth", ".pred"))
  hog <- cross_validate(label ~ image, data, model = "hog", folds = 2, metrics = "accuracy")
  expect_equal(hog$accuracy, c(1, 1))
})

test_that("folds that cannot be are refused by name", {
  skip_if_no_diglot()
  refused <- function(pattern, ...) {
    expect_error(folds_of(...), pattern, class = "diglot_error_input")
  }
  refused("folds", folds = "five")
  refused("20 image", folds = 30)
  refused("groups", groups = 1:3)
  refused("\"patient\"", groups = ~patient)
  refused("acuracy", metrics = "acuracy")
  refused("metrics", metrics = 1)
  refused("stratify", stratify = NA)
  refused("callbacks", callbacks = print)
  refused("share", validation = list(planted()$image, planted()$label))
  refused("model", model = "forest")
})

test_that("a learning curve grows", {
  skip_if_no_diglot()
  curve <- learning_curve(
    label ~ image, grouped(),
    sizes = c(4, 0.5, 1), groups = ~patient, model = "hog", folds = 2, metrics = "accuracy"
  )
  expect_s3_class(curve, "diglot_learning_curve")
  expect_named(curve, c("n_train", "repeat", "fold", "metric", "training", "estimate"))
  expect_identical(sort(unique(curve$n_train)), c(4L, 10L, 20L))
  table <- summary(curve)
  expect_named(table, c("n_train", "metric", "estimate", "lower", "upper", "n"))
  expect_identical(table$n, c(2L, 2L, 2L))
  test <- curve[!curve$training, ]
  expect_equal(table$estimate, as.vector(tapply(test$estimate, test$n_train, mean)))
  expect_equal(summary(curve, training = TRUE)$estimate, c(1, 1, 1))
  expect_output(print(curve), "4, 10, 20 training images")
  expect_error(
    learning_curve(label ~ image, planted_tibble(), sizes = "all"), "sizes",
    class = "diglot_error_input"
  )
})
