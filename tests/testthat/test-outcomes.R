# Numbers, ordered classes and tags: the doors, what they answer, and glm()'s way of naming
# families.

bright <- function(n = 120L) {
  light <- ((seq_len(n) * 37L) %% n) / n
  slope <- outer(seq(0.5, 1, length.out = 5L), seq(1, 0.6, length.out = 6L))
  noise <- array((seq_len(n * 30L) * 7919) %% 61 / 1220, c(n, 5L, 6L))
  data <- tibble::tibble(image = lapply(seq_len(n), function(i) light[i] * slope + noise[i, , ]))
  data$light <- 10 + 4 * light
  data$count <- as.integer(round(8 * light))
  data$high <- light > 0.5
  data$edge <- as.integer(light < 0.2 | light > 0.8)
  data$grade <- cut(light, c(-1, 0.3, 0.7, 2), c("low", "mid", "top"), ordered_result = TRUE)
  data
}

quick <- list(network = "mlp", epochs = 4, batch_size = 16, seed = 1)
regress <- function(...) do.call(image_regressor, c(list(...), quick))
tag <- function(...) do.call(image_tagger, c(list(...), quick))
classify <- function(...) do.call(image_classifier, c(list(...), quick))
refused <- function(expr, pattern) expect_error(expr, pattern, class = "diglot_error_input")

test_that("settings have Python's names and defaults", {
  skip_if_no_diglot()
  for (kind in c("classifier", "regressor", "tagger")) {
    theirs <- diglot:::call_bridge("defaults", kind)
    ours <- diglot:::setting_defaults(kind)
    expect_setequal(names(ours), names(theirs))
    for (name in names(ours)) {
      expect_equal(ours[[name]], theirs[[name]], info = paste(kind, name))
    }
  }
})

test_that("families have the names of glm()", {
  name <- diglot:::family_name
  expect_null(name(NULL))
  expect_equal(name("cumulative"), "cumulative")
  expect_equal(name(poisson), "poisson")
  expect_equal(name(poisson()), "poisson")
  expect_equal(name(stats::gaussian("identity")), "gaussian")
  expect_equal(name(quantile), "quantile")
  refused(name(binomial("probit")), "probit.*logit")
  refused(name(stats::Gamma()), "Gamma")
  refused(name(mean), "as glm\\(\\) takes it")
  refused(name(3), "must be a name")
})

test_that("numbers are learned by all ways in", {
  skip_if_no_diglot()
  data <- bright()
  fit <- regress(light ~ image, data)
  expect_s3_class(fit, c("image_regressor", "diglot_model"), exact = TRUE)
  array <- aperm(simplify2array(data$image), c(3L, 1L, 2L))
  for (same in list(
    regress(data["image"], data$light), regress(array, data$light), regress(data$image, data$light),
    regress(data["image"], data["light"]),
    classify(light ~ image, data, family = gaussian()), # as one would call glm()
    regress(light ~ image, data, weights = rep(2, 120))
  )) {
    expect_equal(fingerprint(same), fingerprint(fit))
  }
  predicted <- predict(fit, data)
  expect_named(predicted, ".pred")
  expect_equal(nrow(predict(fit, data[0, ])), 0L)
  expect_lt(sqrt(mean((predicted$.pred - data$light)^2)), 0.5 * sd(data$light))
  expect_equal(augment(fit, data[1:2, ])$.pred, predicted$.pred[1:2])
  expect_equal(names(augment(fit, data$image[1:2])), ".pred")
})

test_that("a regressor prints, judges and lives on", {
  skip_if_no_diglot()
  data <- bright()
  fit <- regress(light ~ image, data[1:90, ], validation = data[91:120, ], monitor = "val_mae")
  expect_output(print(fit), "Image regressor.*the mean, by least squares.*val_mae")
  expect_output(print(summary(fit)), "family =\\s+gaussian")
  expect_true(all(c("mae", "val_mae") %in% names(tidy(fit))))
  expect_equal(glance(fit)$family, "gaussian")
  table <- evaluate(fit, data[91:120, ])
  error <- predict(fit, data[91:120, ])$.pred - data$light[91:120]
  expect_equal(table$estimate[table$metric == "rmse"], sqrt(mean(error^2)))
  expect_equal(table$n[1], 30L)
  grouped <- evaluate(fit, transform(data[91:120, ], pair = rep(1:15, 2)), groups = pair)
  expect_equal(grouped$estimate, table$estimate)
  expect_match(grouped$method[1], "cluster")
  expect_equal(evaluate(fit, data[91:120, "image"], data$light[91:120]), table)
  expect_equal(nrow(tidy(update(fit, data))), 5L)
  tuned <- fine_tune(fit, count ~ image, data, family = "poisson", epochs = 1)
  expect_equal(tuned$family, "poisson")
  expect_true(all(predict(tuned, data)$.pred > 0))
  expect_equal(ncol(embed(fit, data[1:2, ])), ncol(embed(tuned, data[1:2, ])))

  file <- tempfile(fileext = ".safetensors")
  on.exit(unlink(file))
  save_model(fit, file)
  loaded <- load_model(file)
  expect_s3_class(loaded, "image_regressor")
  expect_equal(predict(loaded, data), predict(fit, data))
  expect_equal(predict(unserialize(serialize(fit, NULL)), data), predict(fit, data))

  sure <- conformalize(fit, data[91:120, ])
  ends <- predict(sure, data, type = "interval", coverage = 0.8)
  expect_named(ends, c(".pred", ".pred_lower", ".pred_upper"))
  expect_true(all(ends$.pred_lower < ends$.pred & ends$.pred < ends$.pred_upper))
  refused(predict(fit, data, type = "interval"), "conformalize")
})

test_that("histories are drawn", {
  skip_if_no_diglot()
  skip_if_not_installed("ggplot2")
  fit <- regress(light ~ image, bright(30L))
  expect_s3_class(ggplot2::autoplot(fit), "ggplot")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_identical(plot(fit), fit)
})

test_that("quantiles have a column each, in their order", {
  skip_if_no_diglot()
  data <- bright()
  fit <- regress(light ~ image, data, family = "quantile", quantiles = c(0.9, 0.1, 0.5))
  found <- predict(fit, data, type = "quantile")
  expect_named(found, c(".pred_0.9", ".pred_0.1", ".pred_0.5"))
  expect_true(all(found$.pred_0.1 <= found$.pred_0.5 & found$.pred_0.5 <= found$.pred_0.9))
  expect_equal(predict(fit, data)$.pred, found$.pred_0.5)
  expect_output(print(fit), "quantiles 0.9, 0.1, 0.5")
  one <- regress(light ~ image, data, family = quantile, quantiles = 0.3)
  expect_named(predict(one, data[1:2, ], type = "quantile"), ".pred_0.3")
  refused(predict(regress(light ~ image, data), data, type = "quantile"), "quantiles")
  refused(regress(light ~ image, data, family = "quantile", quantiles = 2), "quantiles")
})

test_that("what are no numbers is refused by name", {
  skip_if_no_diglot()
  data <- bright(20L)
  refused(regress(grade ~ image, data), "`grade` must be numbers.*image_classifier")
  refused(regress(as.character(light) ~ image, data), "must be numbers")
  refused(regress(ifelse(light > 12, NA, light) ~ image, data), "row")
  refused(regress(data["image"]), "`y` is missing")
  refused(regress(data["image"], 1:3), "20 images but 3 numbers")
  refused(regress(light ~ image, data, family = "multinomial"), "'multinomial'")
  refused(regress(light ~ image, data, family = binomial), "'binomial'")
  refused(regress(light ~ image, data, class_weight = "balanced"), "class_weight")
  refused(regress(I(-count) ~ image, data, family = poisson()), "counts from 0")
  classes <- classify(high ~ image, data)
  refused(fine_tune(classes, light ~ image, data, family = "gaussian"), "not learn")
})

test_that("numbers and tags are explained", {
  skip_if_no_diglot()
  data <- bright()
  explained <- function(fit, ...) {
    explain(fit, data[1:3, ], ..., method = "integrated_gradients", steps = 20)
  }
  fit <- regress(light ~ image, data)
  found <- explained(fit)
  expect_equal(dim(found$maps), c(3L, 5L, 6L))
  expect_equal(as.character(found$classes), rep("prediction", 3))
  expect_equal(found$scores, predict(fit, data[1:3, ])$.pred, tolerance = 1e-5)
  expect_equal(apply(found$maps, 1, sum), found$changes, tolerance = 0.1)
  several <- regress(light ~ image, data, family = "quantile", quantiles = c(0.1, 0.9))
  expect_equal(as.character(explained(several, 0.9)$classes), rep("0.9", 3))
  tags <- tag(cbind(high, edge) ~ image, data)
  expect_equal(as.character(explained(tags, "edge")$classes), rep("edge", 3))
  refused(explained(tags, "low"), "\"low\"")
})

test_that("ordered classes are learned by cumulative logits", {
  skip_if_no_diglot()
  data <- bright()
  fit <- classify(grade ~ image, data, family = "cumulative")
  prob <- predict(fit, data, type = "prob")
  expect_named(prob, c(".pred_low", ".pred_mid", ".pred_top"))
  expect_equal(rowSums(prob), rep(1, 120), tolerance = 1e-6)
  expect_true(is.ordered(predict(fit, data)$.pred_class))
  expect_output(print(fit), "low < mid < top.*cumulative")
  # one score an image: where it moves a class up, the odds of all cutpoints rise together
  above <- cbind(prob$.pred_mid + prob$.pred_top, prob$.pred_top)
  odds <- stats::qlogis(above)
  expect_equal(odds[, 1] - odds[, 2], rep(odds[1, 1] - odds[1, 2], 120), tolerance = 1e-4)
  refused(classify(grade ~ image, data, family = "ordinal"), "'ordinal'")
})

test_that("two classes are binomial", {
  skip_if_no_diglot()
  data <- bright()
  expect_equal(
    fingerprint(classify(high ~ image, data, family = binomial)),
    fingerprint(classify(high ~ image, data))
  )
})

test_that("tags come as columns, as a matrix and as lists", {
  skip_if_no_diglot()
  data <- bright()
  fit <- tag(cbind(high, edge) ~ image, data)
  expect_s3_class(fit, c("image_tagger", "diglot_model"), exact = TRUE)
  expect_equal(fit$tags, c("high", "edge"))
  lists <- lapply(seq_len(120), function(i) c("edge", "high")[c(data$edge[i] == 1L, data$high[i])])
  by_list <- tibble::tibble(image = data$image, tags = lists)
  for (same in list(
    tag(data["image"], data[c("high", "edge")]),
    tag(data$image, as.matrix(data[c("high", "edge")])),
    classify(cbind(high, edge) ~ image, data, family = binomial()),
    tag(cbind(high, edge) ~ image, data, family = "binomial")
  )) {
    expect_equal(fingerprint(same), fingerprint(fit))
  }
  listed <- tag(tags ~ image, by_list)
  expect_equal(listed$tags, c("edge", "high"))
  prob <- predict(fit, data, type = "prob")
  expect_named(prob, c(".pred_high", ".pred_edge"))
  class <- predict(fit, data)
  expect_equal(class$.pred_high, prob$.pred_high >= 0.5)
  expect_gt(mean(class$.pred_high == data$high), 0.9)
  expect_equal(dim(predict(fit, data[0, ])), c(0L, 2L))
  expect_type(predict(fit, data[0, ])$.pred_high, "logical")
  expect_named(augment(fit, data[1:2, ]), c(names(data), ".pred_high", ".pred_edge"))
})

test_that("nearest images are found of numbers and of tags, too", {
  skip_if_no_diglot()
  data <- bright()
  for (fit in list(regress(light ~ image, data), tag(cbind(high, edge) ~ image, data))) {
    found <- nearest_images(fit, data[1:2, ], data[3:120, ], n = 3)
    all <- as.matrix(stats::dist(embed(fit, data)))[1:2, 3:120]
    expect_equal(found$distance[1:3], unname(sort(all[1L, ])[1:3]), tolerance = 1e-5)
    truth <- data[3:120, ][found$neighbour, ]
    if (inherits(fit, "image_regressor")) {
      expect_equal(found$label, truth$light)
    } else {
      expect_equal(unname(found$label[, "edge"]), truth$edge)
    }
  }
  refused(nearest_images("a fit", data, data), "image_tagger\\(\\)")
})

test_that("a tagger prints, judges, tunes and lives on", {
  skip_if_no_diglot()
  data <- bright()
  fit <- tag(cbind(high, edge) ~ image, data[1:80, ], validation = data[81:120, ])
  expect_output(print(fit), "Image tagger.*tags +high, edge")
  expect_equal(glance(fit)$tags, 2L)
  table <- evaluate(fit, data[81:120, ])
  expect_true(all(c("high", "edge") %in% table$class))
  tuned <- tune_thresholds(fit, data[81:120, ])
  expect_equal(fit$thresholds, c(0.5, 0.5))
  f1 <- function(thresholds) {
    vapply(1:2, function(t) {
      truth <- data[81:120, c("high", "edge")][[t]] == 1
      said <- predict(fit, data[81:120, ], type = "prob")[[t]] >= thresholds[t]
      2 * sum(truth & said) / (sum(truth) + sum(said))
    }, 0)
  }
  expect_true(all(f1(tuned$thresholds) >= f1(fit$thresholds)))
  expect_equal(
    as.matrix(predict(tuned, data)),
    sweep(as.matrix(predict(tuned, data, type = "prob")), 2L, tuned$thresholds, `>=`)
  )
  file <- tempfile(fileext = ".safetensors")
  on.exit(unlink(file))
  save_model(tuned, file)
  expect_equal(load_model(file)$thresholds, tuned$thresholds)
  expect_equal(predict(load_model(file), data), predict(tuned, data))
  expect_equal(nrow(tidy(update(fit, data))), 5L)
  expect_equal(fine_tune(fit, data["image"], data["edge"], epochs = 1)$tags, "edge")
})

test_that("what are no tags is refused by name", {
  skip_if_no_diglot()
  data <- bright(20L)
  refused(tag(light ~ image, data), "`light` must be a matrix or data frame")
  refused(tag(cbind(count, edge) ~ image, data), "zeros and ones only; look at")
  refused(tag(data["image"], list(1, 2)), "character vector of tags")
  refused(tag(data["image"], rep(list("a"), 3)), "20 images but 3 rows of tags")
  refused(tag(data["image"], rep(list(character()), 20)), "no image has any tag")
  refused(tag(cbind(high, edge) ~ image, data, family = poisson), "\"binomial\", not \"poisson\"")
  fit <- tag(cbind(high, edge) ~ image, data)
  refused(evaluate(fit, data["image"], data["high"]), "as in training")
  refused(tune_thresholds(regress(light ~ image, data), data), "image_tagger")
})
