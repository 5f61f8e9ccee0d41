# Covariates beside images: contrasts and model matrices are R's, answers need the same columns.

# Noise that tells nothing, as fixed numbers, beside an age, a sex and a stage that tell all.
people <- function(n = 120L) {
  noise <- array((seq_len(n * 20L) * 7919) %% 61 / 6100, c(n, 4L, 5L))
  place <- seq_len(n)
  data <- tibble::tibble(
    image = lapply(place, function(i) noise[i, , ]),
    age = 50 + 10 * stats::qnorm(((place * 37) %% n + 0.5) / n),
    sex = factor(c("f", "m", "m")[place %% 3 + 1]),
    stage = factor(c("I", "II", "III")[place %% 5 %% 3 + 1], ordered = TRUE),
    smoker = place %% 4 == 0
  )
  eta <- 0.08 * (data$age - 50) + 0.9 * (data$sex == "m") - 0.4
  data$outcome <- factor(ifelse(stats::plogis(eta) > (place * 53) %% n / n, "ill", "well"))
  data$outcome <- stats::relevel(data$outcome, "well")
  data$count <- round(exp(eta / 2 + 1) + (place * 29) %% 3 - 1)
  data
}

quick <- function(formula, data, ...) {
  image_classifier(formula, data, network = "mlp", epochs = 2, batch_size = 32, seed = 1, ...)
}

refused <- function(expr, pattern) expect_error(expr, pattern, class = "diglot_error_input")

test_that("a formula's parts are the images and the rest", {
  data <- people(6L)
  parts <- function(formula) diglot:::formula_parts(formula, data)
  named <- function(formula) attr(parts(formula)$covariates, "term.labels")
  expect_null(parts(outcome ~ image)$covariates)
  expect_equal(named(outcome ~ image + age + sex), c("age", "sex"))
  expect_equal(named(outcome ~ age + image), "age") # the term of that name
  expect_equal(parts(outcome ~ photo + age)$image, quote(photo)) # else the first
  expect_equal(named(outcome ~ image + age * sex), c("age", "sex", "age:sex"))
  expect_equal(
    named(outcome ~ . - stage - count), c("age", "sex", "smoker")
  )
  expect_equal(parts(outcome ~ file.path(dir, image) + age)$image, quote(file.path(dir, image)))
  expect_equal(named(cbind(a, b) ~ image + log(age)), "log(age)")
})

test_that("main effects go as columns with R's contrasts", {
  data <- people(30L)
  asked <- function(formula, ...) {
    diglot:::training_data(formula, data, ..., known = diglot:::setting_names())
  }
  given <- asked(outcome ~ image + age + sex + stage + smoker)
  expect_equal(unlist(given$settings$covariates), c("age", "sex", "stage", "smoker"))
  expect_equal(
    given$settings$contrasts, list(sex = "treatment", stage = "poly", smoker = "treatment")
  )
  before <- options(contrasts = c("contr.sum", "contr.helmert"))
  on.exit(options(before))
  expect_equal(
    asked(outcome ~ image + sex + stage)$settings$contrasts, list(sex = "sum", stage = "helmert")
  )
  options(before)

  stats::contrasts(data$stage) <- "contr.helmert"
  expect_equal(asked(outcome ~ image + stage)$settings$contrasts$stage, "helmert")
  own <- cbind(late = c(0, 0, 1))
  stats::contrasts(data$stage, 1) <- own
  sent <- asked(outcome ~ image + stage)$settings$contrasts$stage
  expect_equal(sent, list(values = list(0, 0, 1), columns = list("late")))
  for (spelt in list("sum", "contr.sum", stats::contr.sum)) {
    chosen <- asked(outcome ~ image + stage, contrasts = list(stage = spelt))
    expect_equal(chosen$settings$contrasts$stage, "sum")
  }
  sas <- asked(outcome ~ image + stage, contrasts = list(stage = "contr.SAS"))
  expect_equal(sas$settings$contrasts$stage$columns, list("I", "II"))
  refused(asked(outcome ~ image + age, contrasts = list(sex = "sum")), "\"sex\"")
  refused(asked(outcome ~ image + sex, contrasts = list(sex = "no.such")), "no contrasts")
  refused(asked(outcome ~ image + sex, contrasts = list(sex = TRUE)), "function or a matrix")
})

test_that("levels that do not occur are left out as by lm()", {
  skip_if_no_diglot()
  data <- people(60L)
  levels(data$sex) <- c("f", "m", "x")
  fit <- quick(outcome ~ image + sex, data)
  expect_equal(names(coef(fit)), "sexm")
  refused(predict(fit, transform(data, sex = "x")), "'x' in row 1")
})

test_that("coefficients have the names of model.matrix()", {
  skip_if_no_diglot()
  data <- people()
  named <- function(formula, ...) {
    names(coef(quick(stats::update(formula, outcome ~ image + .), data, ...)))
  }
  for (formula in list(
    ~ age + sex + stage + smoker,
    ~ age * sex,
    ~ log(age) + poly(age, 2) + stage,
    ~ sex:stage + age
  )) {
    matrix <- stats::model.matrix(formula, data)[, -1]
    # of sex:stage the matrix has a column too many, as the intercept is not the only constant
    if (qr(cbind(1, matrix))$rank == ncol(matrix) + 1L) {
      expect_equal(named(formula), colnames(matrix))
    } else {
      refused(named(formula), "depend on each other")
    }
  }
  own <- options(contrasts = c("contr.helmert", "contr.sum"))
  on.exit(options(own))
  expect_equal(
    named(~ sex + stage), colnames(stats::model.matrix(~ sex + stage, data))[-1]
  )
})

test_that("the same seed gives the same bytes from both languages", {
  skip_if_no_diglot()
  data <- people(60L)
  fit <- quick(outcome ~ image + age + sex + stage + smoker, data)
  pandas <- reticulate::import("pandas", convert = FALSE)
  diglot <- reticulate::import_from_path("diglot", diglot:::core_folder(), convert = FALSE)
  categories <- function(x, ordered = FALSE) {
    pandas$Categorical(as.character(x), categories = as.list(levels(x)), ordered = ordered)
  }
  table <- pandas$DataFrame(list(
    image = lapply(data$image, function(x) reticulate::np_array(x, dtype = "float32")),
    age = as.list(data$age), sex = as.list(as.character(data$sex)),
    stage = categories(data$stage, TRUE), smoker = as.list(data$smoker)
  ))
  model <- diglot$ImageClassifier(
    "mlp",
    epochs = 2L, batch_size = 32L, seed = 1L, covariates = list("age", "sex", "stage", "smoker")
  )
  model$fit(table, categories(data$outcome))
  expect_equal(fingerprint(fit), reticulate::py_to_r(model$fingerprint()))

  # and each language reads the other's file, with the same answers by the same columns
  file <- tempfile(fileext = ".safetensors")
  on.exit(unlink(file))
  model$save(file)
  theirs <- load_model(file)
  expect_equal(predict(theirs, data, type = "prob"), predict(fit, data, type = "prob"))
  expect_equal(coef(theirs), coef(fit))
  refused(predict(theirs, data["image"]), "\"age\"")
})

test_that("new data needs what the fit learned from", {
  skip_if_no_diglot()
  data <- people()
  fit <- quick(outcome ~ image + age + sex, data)
  refused(predict(fit, data["image"]), "\"age\"")
  refused(predict(fit, data$image), "must be a data frame with the images and \"age\", \"sex\"")
  refused(predict(fit, transform(data, sex = "d")), "'d' in row 1")
  refused(predict(fit, transform(data, age = "old")), "numbers in training")
  hole <- data
  hole$age[c(2, 5)] <- NA
  refused(predict(fit, hole), "\"age\".*rows 2 and 5")
  expect_equal(nrow(predict(fit, data[0, ])), 0L)
  expect_equal(
    predict(fit, transform(data, sex = as.character(sex)), type = "prob"),
    predict(fit, data, type = "prob")
  )
  expect_equal(nrow(augment(fit, data[1:3, ])), 3L)
  revived <- unserialize(serialize(fit, NULL))
  expect_equal(predict(revived, data, type = "prob"), predict(fit, data, type = "prob"))

  matrix <- quick(outcome ~ image + log(age) * sex, data)
  refused(predict(matrix, data[c("image", "sex")]), "\"age\"")
  refused(predict(matrix, hole), "age.*rows 2 and 5")
  refused(predict(matrix, transform(data, sex = "d")), "cannot be evaluated")
  expect_equal(
    predict(matrix, data[7:9, ], type = "prob"), predict(matrix, data, type = "prob")[7:9, ]
  )
})

test_that("polynomials of new data are those of the training", {
  skip_if_no_diglot()
  data <- people()
  fit <- quick(outcome ~ image + poly(age, 2), data)
  # alone, three people would have another orthogonal basis
  expect_equal(
    predict(fit, data[4:6, ], type = "prob"), predict(fit, data, type = "prob")[4:6, ]
  )
  revived <- unserialize(serialize(fit, NULL))
  expect_equal(predict(revived, data[4:6, ]), predict(fit, data[4:6, ]))
})

test_that("formulas and data that cannot be are refused", {
  skip_if_no_diglot()
  data <- people(30L)
  refused(quick(outcome ~ image + agee, data), "\"agee\".*\"age\"")
  refused(quick(outcome ~ image + log(agee), data), "cannot be evaluated")
  refused(quick(outcome ~ image + age, transform(data, age = 3)), "'age' is the same")
  refused(quick(outcome ~ image + age + twice, transform(data, twice = 2 * age)), "depend")
  refused(quick(outcome ~ image + day, transform(data, day = Sys.Date())), "not an object of class")
  refused(quick(outcome ~ image + age, data, covariates = "age"), "terms of the formula")
  hole <- data
  hole$sex[3] <- NA
  refused(quick(outcome ~ image + sex, hole), "\"sex\".*row 3")
  refused(quick(outcome ~ image + sex:age, hole), "sex.*row 3")
  refused(hog_classifier(outcome ~ image + age, data), "leave \"age\" out")
  refused(image_captioner(stage ~ image + age, data), "leave \"age\" out")
})

test_that("covariates stand beside x, too", {
  skip_if_no_diglot()
  data <- people(60L)
  fit <- quick(outcome ~ image + age + sex, data)
  train <- function(x, ...) {
    image_classifier(
      x, data$outcome,
      network = "mlp", epochs = 2, batch_size = 32, seed = 1, ...
    )
  }
  array <- aperm(simplify2array(data$image), c(3L, 1L, 2L))
  for (same in list(
    train(data, covariates = c("age", "sex")),
    train(data["image"], covariates = data[c("age", "sex")]),
    train(array, covariates = data[c("age", "sex")]),
    train(data$image, covariates = data[c("age", "sex")])
  )) {
    expect_equal(fingerprint(same), fingerprint(fit))
    expect_equal(predict(same, data, type = "prob"), predict(fit, data, type = "prob"))
  }
  refused(train(data, covariates = "weight"), "\"weight\"")
  refused(train(array, covariates = "age"), "data frame with one row an image")
  refused(train(array, covariates = data[1:5, "age"]), "60 images but 5 values")
})

test_that("validation data brings its covariates", {
  skip_if_no_diglot()
  data <- people()
  by_formula <- quick(outcome ~ image + age, data[1:80, ], validation = data[81:120, ])
  expect_true("val_loss" %in% names(tidy(by_formula)))
  by_matrix <- quick(outcome ~ image + poly(age, 2), data[1:80, ], validation = data[81:120, ])
  expect_true("val_loss" %in% names(tidy(by_matrix)))
  beside <- image_classifier(
    data[1:80, ], data$outcome[1:80],
    covariates = "age", validation = list(data[81:120, ], data$outcome[81:120]),
    network = "mlp", epochs = 2, batch_size = 32, seed = 1
  )
  expect_equal(fingerprint(beside), fingerprint(by_formula))
  refused(
    quick(outcome ~ image + age, data[1:80, ], validation = data[81:120, c("image", "outcome")]),
    "\"age\""
  )
})

test_that("a fit with covariates lives on", {
  skip_if_no_diglot()
  data <- people()
  fit <- quick(outcome ~ image + age + sex, data[1:80, ])
  expect_s3_class(evaluate(fit, data[81:120, ]), "tbl_df")
  further <- update(fit, data)
  expect_equal(nrow(tidy(further)), 3L)
  other <- fine_tune(fit, stage ~ image + age, data, epochs = 1)
  expect_equal(other$covariates, "age")
  none <- fine_tune(fit, stage ~ image, data, epochs = 1)
  expect_length(none$covariates, 0L)
  expect_equal(nrow(predict(none, data["image"])), 120L)
  expect_equal(dim(embed(fit, data[1:3, ])), dim(embed(none, data[1:3, ])))
  rates <- find_learning_rate(outcome ~ image + age, data, network = "mlp", steps = 5, seed = 1)
  expect_gt(nrow(rates), 0L)
  set.seed(1)
  folds <- cross_validate(
    outcome ~ image + age, data,
    folds = 2, network = "mlp", epochs = 1, metrics = "accuracy"
  )
  expect_equal(nrow(folds), 2L)
  expect_output(print(fit), "covariates +age, sex")
})

test_that("coefficients are those of glm() where images tell nothing", {
  skip_if_no_diglot()
  data <- people(480L)
  train <- data[1:80, ]
  test <- data[81:480, ]
  fit <- quick(outcome ~ image + age + sex, train)
  theirs <- stats::glm(outcome ~ age + sex, stats::binomial(), test)
  expected <- stats::coef(theirs)[-1]
  error <- sqrt(diag(stats::vcov(theirs)))[-1]
  found <- tidy(fit, "coefficients", data = test, resamples = 100)
  expect_named(found, c("term", "class", "estimate", "conf.low", "conf.high"))
  expect_equal(found$term, names(expected))
  expect_equal(found$class, c("ill", "ill"))
  expect_true(all(abs(found$estimate - expected) < 0.2 * error))
  widths <- (found$conf.high - found$conf.low) / (2 * 1.96 * error)
  expect_true(all(abs(widths - 1) < 0.3))

  ends <- confint(fit, data = test, resamples = 100)
  expect_equal(dimnames(ends), list(c("age", "sexm"), c("2.5 %", "97.5 %")))
  expect_equal(unname(ends), unname(as.matrix(found[c("conf.low", "conf.high")])))
  expect_equal(rownames(confint(fit, "sexm", data = test, resamples = 2)), "sexm")
  narrower <- confint(fit, level = 0.5, data = test, resamples = 100)
  expect_true(all(narrower[, 1] > ends[, 1] & narrower[, 2] < ends[, 2]))

  counts <- image_regressor(
    count ~ image + age + sex, train,
    family = poisson, network = "mlp", epochs = 2, seed = 1
  )
  theirs <- stats::glm(count ~ age + sex, stats::poisson(), test)
  found <- tidy(counts, "coefficients", data = test, conf.int = FALSE)
  error <- sqrt(diag(stats::vcov(theirs)))[-1]
  expect_named(found, c("term", "class", "estimate"))
  expect_true(all(is.na(found$class)))
  expect_true(all(abs(found$estimate - stats::coef(theirs)[-1]) < 0.3 * error))
})

test_that("coefficients come by class, and by groups", {
  skip_if_no_diglot()
  data <- people()
  data$grade <- factor(c("low", "mid", "high")[as.integer(cut(data$age, c(0, 45, 55, 99)))],
    levels = c("low", "mid", "high"), ordered = TRUE
  )
  fit <- quick(grade ~ image + age + sex, data)
  expect_equal(dimnames(coef(fit)), list(c("age", "sexm"), c("mid", "high")))
  data$patient <- rep(1:40, 3)
  ends <- confint(fit, data = data, groups = rep(1:40, 3), resamples = 5)
  expect_equal(confint(fit, data = data, groups = patient, resamples = 5), ends)
  expect_equal(
    tidy(fit, "coefficients", data = data, groups = ~patient, resamples = 5)$conf.low,
    unname(ends[, 1])
  )
  expect_equal(rownames(ends), c("mid:age", "mid:sexm", "high:age", "high:sexm"))
  ordered <- quick(grade ~ image + age + sex, data, family = "cumulative")
  expect_equal(names(coef(ordered)), c("age", "sexm"))
  expect_gt(coef(ordered)[["age"]], 0)
  expect_true(is.na(tidy(ordered, "coefficients")$class[1]))
  expect_equal(tidy(fit), fit$history)

  refused(coef(quick(grade ~ image, data)), "no covariates")
  refused(tidy(fit, "effects"), "\"coefficients\"")
  refused(tidy(fit, "coefficients", conf.int = TRUE), "need `data`")
  refused(confint(fit), "`data` is missing")
  refused(confint(fit, data = data, level = 2), "level")
  refused(confint(fit, data = data, groups = 1:3), "groups")
})
