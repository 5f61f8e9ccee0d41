# Coefficients of covariates beside the image.

#' Coefficients of covariates
#'
#' What the covariates of `outcome ~ image + age + sex` add to the outcome, beside what the network
#' sees in the image, in their own units.
#'
#' Coefficients are of the log-odds of each class against the first; for `family = "cumulative"` of
#' the log-odds of a higher class; of each tag's log-odds; of the mean, of the log-rate of counts,
#' or of each quantile.
#'
#' `coef()` gives those of the network's last layer, as training left them. On `data`, the outcome
#' is modelled by what the network says of the image alone, whose slope is estimated, too, and by
#' the covariates: estimates are those of the largest likelihood, intervals the bootstrap's
#' percentiles. The network itself is held fixed: that it would differ is not in the intervals.
#' Images that it has learned from it fits too well, which makes log-odds, and coefficients with
#' them, too large: other images are right.
#'
#' @param object A fit with covariates, see [image_classifier()].
#' @param parm Which coefficients: names or numbers of rows.
#' @param level Of the intervals.
#' @param data Images with their covariates and outcomes to estimate on: best images that the
#'   network has not learned from.
#' @param y The outcomes, where `data` does not hold them.
#' @param groups Images that belong together, such as those of one patient, and are drawn
#'   together: a column of `data`, by name or as a formula (`~patient`), or a vector.
#' @param resamples Of the bootstrap.
#' @param seed Of the bootstrap; `NULL` draws one with R's generator.
#' @param ... Not used.
#' @return `coef()`: a vector named by terms, or, for several classes, tags or quantiles, a matrix
#'   with a column for each. `confint()`: a matrix of the lower and upper ends, as of
#'   [stats::confint()]. [tidy()][tidy.image_classifier] has both as a tibble.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")[1:300, ]
#' digits$age <- 1:300 %% 40 + 20
#' digits$sex <- factor(rep(c("f", "m", "m"), 100))
#' digits$grade <- factor(digits$age + 10 * (digits$sex == "m") > 45, labels = c("low", "high"))
#' fit <- image_classifier(grade ~ image + age + sex, digits, network = "mlp", epochs = 5, seed = 1)
#' coef(fit)
#' confint(fit, data = digits, resamples = 20)
coef.image_classifier <- function(object, ...) {
  rlang::check_dots_empty()
  table <- coefficients_of(object, NULL, NULL, NULL, rlang::current_env())
  terms <- unique(table$term)
  if (all(is.na(table$class))) {
    return(rlang::set_names(table$estimate, terms))
  }
  classes <- unique(table$class)
  if (length(classes) == 1L && inherits(object, "image_classifier")) {
    return(rlang::set_names(table$estimate, terms)) # of two classes, as of glm()
  }
  matrix(table$estimate, length(terms), dimnames = list(terms, classes))
}

#' @rdname coef.image_classifier
#' @export
coef.image_regressor <- coef.image_classifier

#' @rdname coef.image_classifier
#' @export
coef.image_tagger <- coef.image_classifier

#' @rdname coef.image_classifier
#' @export
confint.image_classifier <- function(object, parm, level = 0.95, data, y = NULL, groups = NULL,
                                     resamples = 200, seed = 0, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  if (missing(data)) {
    abort_diglot("`data` is missing: images with covariates and outcomes.", call = env)
  }
  groups <- group_codes(rlang::enquo(groups), data, nrow_or_length(data), env)
  options <- judging_options(groups, level, resamples, seed, env)
  table <- coefficients_of(object, data, y, options, env)
  several <- length(unique(table$class)) > 1L
  rows <- if (several) paste(table$class, table$term, sep = ":") else table$term
  tails <- c((1 - level) / 2, (1 + level) / 2)
  ends <- matrix(
    c(table$lower, table$upper), nrow(table), 2L,
    dimnames = list(rows, paste(format(100 * tails, trim = TRUE, digits = 3L), "%"))
  )
  if (missing(parm)) ends else ends[parm, , drop = FALSE]
}

#' @rdname coef.image_classifier
#' @export
confint.image_regressor <- confint.image_classifier

#' @rdname coef.image_classifier
#' @export
confint.image_tagger <- confint.image_classifier

# The bridge's table: term, class, estimate, lower, upper, method, n; `options` say how to judge.
coefficients_of <- function(object, data, y, options, call) {
  if (length(object$covariates) == 0L) {
    abort_diglot(
      "The fit has no covariates: they are terms of its formula, such as `y ~ image + age`.",
      call = call
    )
  }
  live <- live_model(object, call)
  if (is.null(data)) {
    return(table_from(call_bridge("coefficients", live, call = call)))
  }
  test <- test_payload(object, data, y, call, what = "data", labels = "y", purpose = "learn from")
  table_from(call_bridge("coefficients", live, test$images, test$codes, options, call = call))
}

nrow_or_length <- function(data) if (is.data.frame(data)) nrow(data) else image_count(data)

tidy_coefficients <- function(x, data, y, conf.int, options, call) {
  if (conf.int && is.null(data)) {
    abort_diglot(
      paste(
        "Intervals need `data`: images with covariates and outcomes, best ones that the network",
        "has not learned from."
      ),
      call = call
    )
  }
  table <- coefficients_of(x, data, y, options, call)
  found <- table[c("term", "class", "estimate")]
  if (conf.int) {
    found$conf.low <- table$lower
    found$conf.high <- table$upper
  }
  classed(found, "diglot_coefficients")
}
