# What newdata holds, and predictions from it.

#' Predict the classes of images
#'
#' @param object A fit, see [image_classifier()].
#' @param newdata Images: a data frame with the column that the formula names, or whatever
#'   [image_classifier()] takes as images.
#' @param type `"class"` for the most probable class, `"prob"` for the probability of each.
#' @param ... Not used.
#' @return A tibble with one row an image, in their order; no rows for no images. For `"class"` a
#'   column `.pred_class`, a factor with the levels of the training; for `"prob"` a column
#'   `.pred_<level>` for each level.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' predict(fit, digits[501:505, ])
#' predict(fit, digits[501:505, ], type = "prob")
predict.image_classifier <- function(object, newdata, type = c("class", "prob"), ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  type <- check_type(type, c("class", "prob"), env)
  if (missing(newdata)) {
    abort_diglot("`newdata` is missing: a fit does not keep its training images.", call = env)
  }
  prob <- class_probabilities(object, newdata, env)
  if (type == "prob") prob_columns(object, prob) else class_column(object, prob)
}

check_type <- function(type, choices, call) {
  type <- type[1L]
  if (!is.character(type) || !type %in% choices) {
    abort_diglot(
      sprintf("`type` must be one of %s, not %s.", quoted(choices), quoted(type)),
      call = call
    )
  }
  type
}

# A matrix, one row an image and one column a level.
class_probabilities <- function(object, newdata, call) {
  images <- newdata_images(object, newdata, "newdata", call)
  if (image_count(images) == 0L) {
    return(matrix(numeric(), 0L, length(object$levels)))
  }
  payload <- image_payload(images, "newdata", call)
  call_bridge("predict_proba", live_model(object, call), payload, call = call)
}

class_column <- function(object, prob) {
  best <- object$levels[max.col(prob, ties.method = "first")]
  tibble::tibble(.pred_class = factor(best, object$levels, ordered = object$ordered))
}

prob_columns <- function(object, prob) {
  columns <- lapply(seq_along(object$levels), function(j) prob[, j])
  names(columns) <- paste0(".pred_", object$levels)
  tibble::as_tibble(columns, .name_repair = "minimal")
}

# The images of new data: through the fit's formula where it has one.
newdata_images <- function(object, newdata, what, call) {
  image <- object$terms$image
  if (!is.data.frame(newdata) || is.null(image)) {
    return(image_column(newdata, what, call))
  }
  strange <- setdiff(all.vars(image), names(newdata))
  if (length(strange) > 0L) {
    missing_column(strange[1L], names(newdata), what, call)
  }
  image_column(formula_value(image, newdata, globalenv(), what, call), what, call)
}

# Their labels: given, or the formula's other side.
newdata_labels <- function(object, newdata, y, what, call) {
  if (!is.null(y)) {
    return(y)
  }
  outcome <- object$terms$outcome
  if (!is.data.frame(newdata) || is.null(outcome)) {
    abort_diglot(
      sprintf("The labels of `%s` are missing: give them too.", what),
      call = call
    )
  }
  strange <- setdiff(all.vars(outcome), names(newdata))
  if (length(strange) > 0L) {
    missing_column(strange[1L], names(newdata), what, call)
  }
  formula_value(outcome, newdata, globalenv(), what, call)
}
