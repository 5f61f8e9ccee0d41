test_that("calibrate() gives a new fit, and leaves the old one as it was", {
  fit <- small_fit()
  before <- predict(fit, noisy(), type = "prob")
  new <- calibrate(fit, noisy())
  expect_s3_class(new, "image_classifier")
  expect_identical(predict(fit, noisy(), type = "prob"), before)
  after <- predict(new, noisy(), type = "prob")
  expect_named(after, names(before))
  expect_identical(predict(new, noisy()), predict(fit, noisy()))
  expect_identical(fingerprint(new), fingerprint(fit))
  expect_identical(new[c("call", "terms", "images")], fit[c("call", "terms", "images")])
  expect_false("calibrated" %in% names(fit$certainty))
  expect_match(new$certainty[["calibrated"]], "temperature .*60 images")
  expect_output(print(new), "calibrated +temperature")
})

test_that("the temperature is the most likely one", {
  fit <- small_fit()
  data <- noisy()
  p <- as.matrix(predict(fit, data, type = "prob"))
  own <- cbind(seq_len(nrow(p)), as.integer(data$label))
  scaled <- function(temperature) {
    q <- p^(1 / temperature)
    q / rowSums(q)
  }
  loss <- function(temperature) -sum(log(scaled(temperature)[own]))
  best <- optimize(loss, c(0.01, 100), tol = 1e-9)$minimum
  after <- as.matrix(predict(calibrate(fit, data), data, type = "prob"))
  expect_equal(after, scaled(best), tolerance = 1e-5)
})

test_that("isotonic calibration is isoreg() of the second class", {
  fit <- small_fit()
  data <- noisy()
  p <- predict(fit, data, type = "prob")$.pred_ten
  by_p <- order(p)
  curve <- isoreg(p[by_p], (data$label == "ten")[by_p])
  after <- predict(calibrate(fit, data, method = "isotonic"), data, type = "prob")
  expect_equal(after$.pred_ten[by_p], curve$yf, tolerance = 1e-6)
  expect_equal(after$.pred_two, 1 - after$.pred_ten)
})

test_that("a calibration can be undone", {
  fit <- small_fit()
  again <- calibrate(calibrate(fit, noisy()), method = "none")
  expect_identical(predict(again, noisy(), type = "prob"), predict(fit, noisy(), type = "prob"))
  expect_length(again$certainty, 0L)
})

test_that("sets are factors with the levels of the fit", {
  fit <- conformalized_fit()
  frame <- noisy()
  sets <- predict(fit, frame, type = "set", coverage = 0.9)
  expect_s3_class(sets, "tbl_df")
  expect_named(sets, c(".pred_set", ".set_size"))
  expect_identical(sets$.set_size, lengths(sets$.pred_set))
  expect_true(all(vapply(sets$.pred_set, is.factor, NA)))
  expect_identical(unique(lapply(sets$.pred_set, levels)), list(c("two", "ten")))
  expect_equal(predict(fit, frame$image, type = "set"), sets)
  larger <- predict(fit, frame, type = "set", coverage = 0.95)
  expect_true(all(larger$.set_size >= sets$.set_size))
  none <- predict(fit, frame[0L, ], type = "set")
  expect_identical(none, tibble::tibble(.pred_set = list(), .set_size = integer()))
})

test_that("an image's set does not depend on the images beside it", {
  fit <- conformalized_fit()
  frame <- noisy()
  together <- predict(fit, frame, type = "set", coverage = 0.8)
  expect_identical(predict(fit, frame[7:9, ], type = "set", coverage = 0.8), together[7:9, ])
})

test_that("the sets of LAC are those of the definition", {
  fit <- small_fit()
  learn <- noisy()
  new <- noisy(20L)
  own <- function(data) {
    p <- as.matrix(predict(fit, data, type = "prob"))
    1 - p[cbind(seq_len(nrow(p)), as.integer(data$label))]
  }
  limit <- sort(own(learn))[ceiling(61 * 0.8)]
  inside <- 1 - as.matrix(predict(fit, new, type = "prob")) <= limit + 1e-9
  sets <- predict(
    conformalize(fit, learn, method = "lac", allow_empty = TRUE), new,
    type = "set", coverage = 0.8
  )
  expect_identical(
    lapply(sets$.pred_set, as.character),
    lapply(seq_len(20L), function(i) c("two", "ten")[inside[i, ]])
  )
})

test_that("coverage() counts how often the truth is in the set", {
  fit <- conformalized_fit()
  frame <- noisy()
  table <- coverage(fit, frame, coverage = c(0.7, 0.9))
  expect_s3_class(table, c("diglot_coverage", "tbl_df"))
  expect_named(
    table,
    c("coverage", "class", "estimate", "lower", "upper", "method", "n", "mean_size")
  )
  expect_identical(table$class, rep(c(NA, "two", "ten"), 2L))
  expect_equal(table$coverage, rep(c(0.7, 0.9), each = 3L))
  sets <- predict(fit, frame, type = "set", coverage = 0.9)
  held <- mapply(`%in%`, frame$label, sets$.pred_set)
  expect_equal(table$estimate[4:6], c(mean(held), unname(tapply(held, frame$label, mean))))
  expect_equal(table$mean_size[4L], mean(sets$.set_size))
  wilson <- suppressWarnings(prop.test(sum(held), length(held), correct = FALSE)$conf.int)
  expect_equal(c(table$lower[4L], table$upper[4L]), as.vector(wilson), tolerance = 1e-6)
  # on the images that the sets were learned from, no less than what was asked for
  expect_gte(table$estimate[4L], 0.9)
  expect_equal(coverage(fit, frame$image, frame$label, c(0.7, 0.9)), table)
})

test_that("both survive saveRDS(), and a file for both languages", {
  fit <- conformalize(calibrate(small_fit(), noisy(30L)), noisy(), class_conditional = TRUE)
  frame <- noisy(10L)
  rds <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, rds)
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  for (again in list(readRDS(rds), load_model(file))) {
    for (type in c("prob", "set")) {
      expect_identical(predict(again, frame, type = type), predict(fit, frame, type = type))
    }
    expect_identical(again$certainty, fit$certainty)
  }
  told <- python_says(c(
    "import diglot",
    sprintf("model = diglot.load(r'%s')", file),
    "print(model.calibration_.method, model.conformal_.method, model.conformal_.class_conditional)"
  ))
  expect_identical(told, "temperature aps True")
})

test_that("what changes the probabilities forgets the sets", {
  fit <- conformalized_fit()
  expect_warning(new <- calibrate(fit, noisy()), "conformalize")
  expect_error(predict(new, noisy(), type = "set"), "conformalize", class = "diglot_error_input")
  expect_warning(update(fit, noisy()), "conformalize")
})

test_that("too few images are told of", {
  fit <- conformalize(small_fit(), noisy(10L), class_conditional = TRUE)
  expect_warning(sets <- predict(fit, noisy(), type = "set"), "9 images a class")
  expect_identical(unique(sets$.set_size), 2L)
})

test_that("sets of an ordered factor are ordered", {
  inside <- matrix(c(TRUE, FALSE, TRUE, FALSE), 2L)
  sets <- diglot:::set_table(fake_fit(ordered = TRUE), inside)
  expect_identical(sets$.pred_set[[1L]], factor(c("two", "ten"), c("two", "ten"), ordered = TRUE))
  expect_identical(sets$.set_size, c(2L, 0L))
})

test_that("arguments are checked before Python is asked", {
  fit <- fake_fit()
  frame <- planted_tibble()
  input <- function(object, words) expect_error(object, words, class = "diglot_error_input")
  input(calibrate(fit), "`data` is missing")
  input(calibrate(1, frame), "image_classifier")
  input(calibrate(fit, frame, method = "platt"), "isotonic")
  input(calibrate(fit, frame$image), "labels")
  input(calibrate(fit, frame, y = "two"), "40 images")
  input(calibrate(fit, transform(frame, label = "six")), "six")
  input(conformalize(fit, frame[0L, ]), "no rows")
  input(conformalize(fit, frame, method = "magic"), "raps")
  input(conformalize(fit, frame, randomized = NA), "randomized")
  input(conformalize(fit, frame, method = "raps", k_reg = "2"), "k_reg")
  input(conformalize(2), "image_classifier")
  input(coverage(2), "image_classifier")
  input(coverage(fit, frame), "conformalize")
  input(predict(fit, frame, type = "set"), "conformalize")
  fit$certainty <- c(sets = "APS")
  input(predict(fit, frame, type = "set", coverage = 90), "coverage")
  input(coverage(fit, frame, coverage = c(0.9, 1)), "coverage")
  input(coverage(fit, frame, level = "a"), "level")
})

test_that("Python's refusals are R's", {
  fit <- small_fit()
  expect_error(
    conformalize(fit, noisy(), k_reg = 1), "raps",
    class = "diglot_error_input"
  )
  expect_error(
    calibrate(fit, noisy()[noisy()$label == "two", ], method = "isotonic"), "'ten'",
    class = "diglot_error_input"
  )
})

test_that("defaults are Python's", {
  skip_if_no_diglot()
  says <- function(method) {
    told <- python_says(c(
      "import inspect, diglot",
      sprintf(
        "given = inspect.signature(diglot.ImageClassifier.%s).parameters.values()", method
      ),
      "print(*(f'{p.name}={p.default}' for p in given if p.default is not p.empty), sep='\\n')"
    ))
    strsplit(told, "=", fixed = TRUE)
  }
  python_text <- function(value) {
    value <- eval(value)
    if (is.null(value)) {
      return("None")
    }
    if (is.logical(value)) {
      return(if (value) "True" else "False")
    }
    if (is.numeric(value) && length(value) > 1L) {
      return(sprintf("(%s)", paste(value, collapse = ", ")))
    }
    as.character(value[1L])
  }
  ours <- list(
    calibrate = formals(calibrate.image_classifier),
    conformalize = formals(conformalize.image_classifier),
    coverage = formals(coverage.image_classifier),
    predict_set = formals(predict.image_classifier)
  )
  for (method in names(ours)) {
    for (default in says(method)) {
      if (!default[1L] %in% c("X", "y")) {
        expect_identical(python_text(ours[[method]][[default[1L]]]), default[2L])
      }
    }
  }
})

test_that("stated coverage holds on digits, over random splits", {
  skip_if_no_diglot()
  digits <- example_images("digits")
  fit <- image_classifier(
    label ~ image, digits[1:300, ],
    network = "mlp", epochs = 3, batch_size = 16, seed = 1
  )
  rest <- digits[301:1797, ]
  stated <- 0.8
  learn <- 499L
  place <- (learn + 1) * stated
  splits <- 20L
  held <- withr::with_seed(1, vapply(seq_len(splits), function(split) {
    mine <- sample.int(nrow(rest), learn)
    rule <- conformalize(fit, rest[mine, ], allow_empty = TRUE)
    coverage(rule, rest[-mine, ], coverage = stated)$estimate[1L]
  }, numeric(1L)))
  # the beta-binomial distribution's mean and standard deviation (Vovk 2012)
  tests <- nrow(rest) - learn
  mean <- place / (learn + 1)
  sd <- sqrt(mean * (1 - mean) * (tests + learn + 1) / (tests * (learn + 2)))
  expect_lt(abs(mean(held) - mean), 3.5 * sd / sqrt(splits))
})

test_that("intervals hold numbers, and are counted", {
  skip_if_no_diglot()
  for (settings in list(list(), list(family = "quantile", quantiles = c(0.1, 0.5, 0.9)))) {
    fit <- rlang::inject(image_regressor(
      size ~ image, measured(),
      network = "mlp", epochs = 3, learning_rate = 0.002, batch_size = 8, seed = 1, !!!settings
    ))
    frame <- measured()
    new <- conformalize(fit, frame)
    expect_s3_class(new, "image_regressor")
    expect_error(predict(fit, frame, type = "interval"), "conformalize", class = "diglot_error")
    expect_identical(fingerprint(new), fingerprint(fit))
    found <- predict(new, frame, type = "interval", coverage = 0.8)
    expect_named(found, c(".pred", ".pred_lower", ".pred_upper"))
    expect_equal(found$.pred, predict(fit, frame)$.pred)
    ends <- if (length(settings) == 0L) {
      list(found$.pred, found$.pred)
    } else {
      unname(as.list(predict(fit, frame, type = "quantile")[c(".pred_0.1", ".pred_0.9")]))
    }
    margin <- sort(pmax(ends[[1L]] - frame$size, frame$size - ends[[2L]]))[ceiling(61 * 0.8)]
    expect_equal(found$.pred_lower, ends[[1L]] - margin, tolerance = 1e-5)
    expect_equal(found$.pred_upper, ends[[2L]] + margin, tolerance = 1e-5)
    table <- coverage(new, frame, coverage = 0.8)
    held <- found$.pred_lower <= frame$size & frame$size <= found$.pred_upper
    expect_s3_class(table, "diglot_coverage")
    expect_identical(nrow(table), 1L)
    expect_equal(table$estimate, mean(held))
    expect_equal(table$mean_size, mean(found$.pred_upper - found$.pred_lower))
    expect_match(new$certainty[["intervals"]], "60 images")
    rds <- withr::local_tempfile(fileext = ".rds")
    saveRDS(new, rds)
    expect_identical(predict(readRDS(rds), frame, type = "interval", coverage = 0.8), found)
  }
})

test_that("Python gives the same images the same sets", {
  skip_if_no_diglot()
  digits <- example_images("digits")
  fit <- image_classifier(
    label ~ image, digits[1:300, ],
    network = "mlp", epochs = 2, batch_size = 16, seed = 1
  )
  fit <- conformalize(calibrate(fit, digits[301:500, ]), digits[501:700, ])
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  told <- python_says(c(
    "import diglot",
    sprintf("model = diglot.load(r'%s').set_params(verbose=False)", file),
    "X = diglot.example_images('digits')[['image']][700:1000]",
    "print(*model.predict_set(X, 0.9).sum(axis=1))"
  ))
  sizes <- predict(fit, digits[701:1000, ], type = "set", coverage = 0.9)$.set_size
  expect_identical(as.integer(strsplit(told, " ")[[1L]]), sizes)
  expect_gt(length(unique(sizes)), 1L)
})
