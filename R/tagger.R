# Tags of images: each is there or not, several may be.

#' Train a network to tell which tags an image has
#'
#' `image_tagger()` learns for each of several tags whether an image has it: none, some or all. The
#' ways in and the settings are those of [image_classifier()].
#'
#' @section Tags:
#' Tags are a matrix or data frame of zeros and ones (or logicals) with a column for each tag, in a
#' formula `cbind(cat, dog) ~ image`; or a list that has a character vector of tags for each image,
#' perhaps an empty one.
#'
#' @section Settings:
#' `...` takes those of [image_classifier()] but `class_weight`; `family`, if given, is `binomial`.
#'
#' @inheritSection image_classifier Images
#' @inheritSection image_classifier Covariates
#' @inheritSection image_classifier When it is cut short
#'
#' @param x,formula A formula such as `cbind(cat, dog) ~ image` or `tags ~ image + year`: the tags,
#'   the column of images, and covariates; or a data frame with a column `image` (or one column
#'   only), an array, a list of matrices or a vector of file names.
#' @param data A data frame with the variables of the formula.
#' @param y The tags, see below.
#' @param weights How much each image counts: a vector, or for a formula an expression in `data`.
#' @param ... Settings, see below.
#' @return An object of class `image_tagger`, for [predict()][predict.image_tagger],
#'   [tune_thresholds()], [evaluate()][evaluate.image_tagger], [plot()][plot.image_tagger],
#'   [tidy()][tidy.image_tagger], [coef()][coef.image_tagger], [fingerprint()], [fine_tune()],
#'   [update()][update.image_tagger] and [save_model()].
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digit <- as.integer(as.character(digits$label))
#' digits$even <- digit %% 2 == 0
#' digits$small <- digit < 5
#' fit <- image_tagger(
#'   cbind(even, small) ~ image, digits[1:500, ],
#'   network = "mlp", epochs = 3, seed = 1
#' )
#' predict(fit, digits[501:503, ])
#' predict(fit, digits[501:503, ], type = "prob")
image_tagger <- function(x, ...) {
  UseMethod("image_tagger")
}

#' @rdname image_tagger
#' @export
image_tagger.formula <- function(formula, data = NULL, weights = NULL, ...) {
  call <- called("image_tagger", match.call())
  known <- asked_settings("tagger", ...)
  given <- rlang::inject(
    training_data(formula, data, weights = !!substitute(weights), ..., known = known)
  )
  fit_predictor(given, call, "tagger")
}

#' @rdname image_tagger
#' @export
image_tagger.data.frame <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("image_tagger", match.call())
  given <- training_data(x, y, weights, ..., known = asked_settings("tagger", ...))
  fit_predictor(given, call, "tagger")
}

#' @rdname image_tagger
#' @export
image_tagger.array <- image_tagger.data.frame

#' @rdname image_tagger
#' @export
image_tagger.default <- image_tagger.data.frame

#' Predict the tags of images
#'
#' @param object A fit, see [image_tagger()].
#' @param newdata Images: a data frame with the columns that the formula names, or whatever
#'   [image_tagger()] takes as images.
#' @param type `"class"` for which tags each image has, `"prob"` for their probabilities.
#' @param ... Not used.
#' @return A tibble with one row an image, in their order, and a column `.pred_<tag>` for each tag,
#'   logical or of probabilities; no rows for no images.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$even <- as.integer(digits$label) %% 2 == 1
#' fit <- image_tagger(digits["image"][1:300, ], digits["even"][1:300, ], network = "mlp", seed = 1)
#' predict(fit, digits[301:303, ])
predict.image_tagger <- function(object, newdata, type = c("class", "prob"), ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  type <- check_type(type, c("class", "prob"), env)
  check_newdata(missing(newdata), env, "predict")
  images <- newdata_images(object, newdata, "newdata", env)
  prob <- matrix(numeric(), 0L, length(object$tags))
  if (image_count(images) > 0L) {
    payload <- image_payload(images, "newdata", env)
    prob <- call_bridge("predict_tags", live_model(object, env), payload, call = env)
  }
  if (type == "class") {
    prob <- sweep(prob, 2L, object$thresholds, `>=`)
  }
  named_columns(prob, paste0(".pred_", object$tags))
}

#' Choose the thresholds of a tagger
#'
#' Chooses for each tag the probability from which on an image is said to have it: the one with the
#' best F1 on these images. Take other images than those of training, and others again to
#' [evaluate()][evaluate.image_tagger].
#'
#' @param object A fit, see [image_tagger()]. It stays as it is.
#' @param data Images, as for [predict()][predict.image_tagger]; for a fit by formula a data frame
#'   with their tags, too.
#' @param y The tags, where `data` does not hold them.
#' @param ... Not used.
#' @return A fit with other thresholds, a vector by tag: `fit$thresholds`.
#' @references
#' Z. C. Lipton, C. Elkan and B. Naryanaswamy: Optimal thresholding of classifiers to maximize F1
#' measure, ECML PKDD 2014.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$zero <- digits$label == "0"
#' digits$even <- as.integer(digits$label) %% 2 == 1
#' fit <- image_tagger(
#'   cbind(zero, even) ~ image, digits[1:500, ],
#'   network = "mlp", epochs = 3, seed = 1
#' )
#' tune_thresholds(fit, digits[501:800, ])$thresholds
tune_thresholds <- function(object, data, y = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  if (!inherits(object, "image_tagger")) {
    abort_diglot(
      sprintf("`object` must be a fit of image_tagger(), not %s.", describe_class(object)),
      call = env
    )
  }
  given <- test_payload(object, data, y, env, what = "data", labels = "y", purpose = "learn from")
  refitted(object, "tune_thresholds", given$images, given$codes, call = env)
}

#' @rdname evaluate.image_regressor
#' @export
evaluate.image_tagger <- evaluate.image_regressor

#' @rdname tidy.image_regressor
#' @export
glance.image_tagger <- function(x, ...) {
  rlang::check_dots_empty()
  glance_row(
    x,
    network = x$network$name, parameters = x$network$parameters, tags = length(x$tags),
    images = x$images
  )
}

#' @rdname tidy.image_regressor
#' @export
augment.image_tagger <- augment.image_regressor

fit_words.image_tagger <- function(x) {
  shown <- paste(utils::head(x$tags, 12L), collapse = ", ")
  more <- if (length(x$tags) > 12L) sprintf(", ... (%d)", length(x$tags)) else ""
  predictor_words(x, "Image tagger", line("tags", paste0(shown, more)))
}

#' @rdname plot.image_regressor
#' @export
plot.image_tagger <- plot.image_regressor

#' @rdname plot.image_regressor
#' @exportS3Method ggplot2::autoplot
autoplot.image_tagger <- autoplot.image_regressor
