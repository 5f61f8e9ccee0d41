# Numbers of images: measurements, counts, quantiles.

#' Train a network to tell a number of each image
#'
#' `image_regressor()` learns a measurement, a count or its quantiles of each image, by the same
#' ways in and the same settings as [image_classifier()].
#'
#' @section Families:
#' - `"gaussian"` learns the mean by least squares;
#' - `"poisson"` the rate of counts, with a log link;
#' - `"quantile"` the quantiles that the setting `quantiles` names, such as `c(0.05, 0.5, 0.95)`.
#'
#' As in [glm()], a family can be a name, a function or an object: `poisson()`.
#'
#' @section Settings:
#' `...` takes those of [image_classifier()] but `class_weight` and `label_smoothing`, and
#' \describe{
#'   \item{`family = "gaussian"`, `quantiles = 0.5`}{see above.}
#'   \item{`monitor = "val_loss"`}{or `"val_mae"`, the mean absolute error.}
#'   \item{`clip_norm = NULL`}{the most that the norm of a gradient may be; 1 by default.}
#' }
#'
#' @inheritSection image_classifier Images
#' @inheritSection image_classifier Covariates
#' @inheritSection image_classifier When it is cut short
#'
#' @param x,formula A formula such as `age ~ image`: the numbers, the column of images, and
#'   covariates; or a data frame with a column `image` (or one column only), an array, a list of
#'   matrices or a vector of file names.
#' @param data A data frame with the variables of the formula.
#' @param y The numbers, one for each image.
#' @param weights How much each image counts: a vector, or for a formula an expression in `data`.
#' @param ... Settings, see below.
#' @return An object of class `image_regressor`, for [predict()][predict.image_regressor],
#'   [evaluate()][evaluate.image_regressor], [plot()][plot.image_regressor],
#'   [tidy()][tidy.image_regressor], [coef()][coef.image_regressor], [fingerprint()], [fine_tune()],
#'   [update()][update.image_regressor] and [save_model()].
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$ink <- vapply(digits$image, mean, 0)
#' fit <- image_regressor(ink ~ image, digits[1:500, ], network = "mlp", epochs = 3, seed = 1)
#' fit
#' predict(fit, digits[501:503, ])
image_regressor <- function(x, ...) {
  UseMethod("image_regressor")
}

#' @rdname image_regressor
#' @export
image_regressor.formula <- function(formula, data = NULL, weights = NULL, ...) {
  call <- called("image_regressor", match.call())
  known <- asked_settings("regressor", ...)
  given <- rlang::inject(
    training_data(formula, data, weights = !!substitute(weights), ..., known = known)
  )
  fit_predictor(given, call, "regressor")
}

#' @rdname image_regressor
#' @export
image_regressor.data.frame <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("image_regressor", match.call())
  given <- training_data(x, y, weights, ..., known = asked_settings("regressor", ...))
  fit_predictor(given, call, "regressor")
}

#' @rdname image_regressor
#' @export
image_regressor.array <- image_regressor.data.frame

#' @rdname image_regressor
#' @export
image_regressor.default <- image_regressor.data.frame

#' Predict numbers of images
#'
#' @param object A fit, see [image_regressor()].
#' @param newdata Images: a data frame with the columns that the formula names, or whatever
#'   [image_regressor()] takes as images.
#' @param type `"numeric"` for the mean, the rate, or the quantile nearest to the median;
#'   `"quantile"` for all quantiles that were learned; `"interval"` for intervals that hold the
#'   number as often as `coverage` says, see [conformalize()].
#' @param coverage For `"interval"`: how often, between 0 and 1.
#' @param ... Not used.
#' @return A tibble with one row an image, in their order; no rows for no images: the column
#'   `.pred`; `.pred_<quantile>` for each quantile; or `.pred`, `.pred_lower` and `.pred_upper`.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$ink <- vapply(digits$image, mean, 0)
#' fit <- image_regressor(
#'   ink ~ image, digits[1:500, ],
#'   family = "quantile", quantiles = c(0.1, 0.5, 0.9), network = "mlp", epochs = 3, seed = 1
#' )
#' predict(fit, digits[501:503, ], type = "quantile")
predict.image_regressor <- function(object, newdata, type = c("numeric", "quantile", "interval"),
                                    coverage = 0.9, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  type <- check_type(type, c("numeric", "quantile", "interval"), env)
  check_newdata(missing(newdata), env, "predict")
  check_share(coverage, "coverage", env)
  if (type == "quantile" && length(object$quantiles) == 0L) {
    abort_diglot(
      sprintf(
        "The fit learned the mean (family %s): fit with `family = \"quantile\"` and `quantiles`.",
        quoted(object$family)
      ),
      call = env
    )
  }
  if (type == "interval") {
    check_conformal(object, env)
  }
  names <- switch(type,
    numeric = ".pred",
    quantile = paste0(".pred_", object$quantiles),
    interval = c(".pred", ".pred_lower", ".pred_upper")
  )
  images <- newdata_images(object, newdata, "newdata", env)
  values <- matrix(numeric(), 0L, length(names))
  if (image_count(images) > 0L) {
    payload <- image_payload(images, "newdata", env)
    live <- live_model(object, env)
    values <- call_bridge("predict_numbers", live, payload, type, coverage, call = env)
  }
  named_columns(values, names)
}

named_columns <- function(values, names) {
  columns <- lapply(seq_along(names), function(j) values[, j])
  tibble::as_tibble(rlang::set_names(columns, names), .name_repair = "minimal")
}

#' Assess a regressor or a tagger
#'
#' Metrics with their intervals, on images that were not in the training: of numbers the root mean
#' squared error, the mean absolute error, the explained variance and more; of tags, for each and
#' averaged, sensitivity, precision, F1, areas under curves and more.
#'
#' @inheritParams evaluate.image_classifier
#' @param x A fit, see [image_regressor()] and [image_tagger()].
#' @param truth What there is to be said of the images, where `newdata` does not hold it.
#' @param ... Not used.
#' @return A tibble with one row a metric, or a metric and a tag: `metric`, `class`, `estimate`,
#'   `lower`, `upper`, `method`, `n`.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$ink <- vapply(digits$image, mean, 0)
#' fit <- image_regressor(ink ~ image, digits[1:500, ], network = "mlp", epochs = 3, seed = 1)
#' evaluate(fit, digits[501:700, ])
evaluate.image_regressor <- evaluate.image_classifier

#' @rdname conformalize
#' @export
conformalize.image_regressor <- function(object, data, y = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  given <- test_payload(object, data, y, env, what = "data", labels = "y", purpose = "learn from")
  refitted(object, "conformalize", given$images, given$codes, list(), call = env)
}

#' @rdname tidy.image_regressor
#' @export
glance.image_regressor <- function(x, ...) {
  rlang::check_dots_empty()
  glance_row(
    x,
    network = x$network$name, parameters = x$network$parameters, family = x$family,
    images = x$images
  )
}

#' @rdname tidy.image_regressor
#' @export
augment.image_regressor <- function(x, newdata, ...) {
  rlang::check_dots_empty()
  check_newdata(missing(newdata), rlang::current_env(), "predict")
  beside_data(newdata, predict(x, newdata))
}

# The columns of a data frame, then predictions; these alone for anything else.
beside_data <- function(newdata, columns) {
  if (is.data.frame(newdata)) {
    columns <- tibble::new_tibble(c(as.list(newdata), as.list(columns)), nrow = nrow(columns))
  }
  columns
}

fit_words.image_regressor <- function(x) {
  outcome <- switch(x$family,
    gaussian = "the mean, by least squares",
    poisson = "the rate of counts, log link",
    quantile = paste("quantiles", paste(x$quantiles, collapse = ", "))
  )
  predictor_words(x, "Image regressor", line("outcome", outcome))
}

# What every fit of one outcome an image says of itself.
predictor_words <- function(x, title, outcome) {
  list(
    title = title,
    model = c(
      line("network", sprintf(
        "%s, %s parameters", network_words(x$network), counted(x$network$parameters)
      )),
      outcome,
      if (length(x$covariates) > 0L) line("covariates", paste(x$covariates, collapse = ", "))
    ),
    lineage = "Fine-tuned",
    data = line("images", if (is.na(x$images)) "unknown" else counted(x$images))
  )
}

#' Plot the training of a regressor or a tagger
#'
#' Draws loss and the other measure by epoch, with validation data also theirs.
#'
#' @param x,object A fit, see [image_regressor()] and [image_tagger()].
#' @param ... For `plot()` without ggplot2 passed on to [graphics::plot.default()].
#' @return `plot()`: the fit, invisibly. `autoplot()`: a ggplot.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$ink <- vapply(digits$image, mean, 0)
#' fit <- image_regressor(ink ~ image, digits[1:500, ], network = "mlp", epochs = 3, seed = 1)
#' plot(fit)
plot.image_regressor <- function(x, ...) {
  plot_history(x, ...)
  invisible(x)
}

#' @rdname plot.image_regressor
#' @exportS3Method ggplot2::autoplot
autoplot.image_regressor <- function(object, ...) {
  rlang::check_dots_empty()
  rlang::check_installed("ggplot2", "to draw this plot.")
  history_plot(object$history)
}
