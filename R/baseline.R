# The baseline without a network.

#' Train a baseline without a network
#'
#' `hog_classifier()` tells images apart by histograms of oriented gradients (Dalal and Triggs
#' 2005) and multinomial regression with a ridge penalty, whose strength is chosen by
#' cross-validation. It is fitted in seconds. What a network does better, its images must show
#' beyond the direction of edges.
#'
#' @section Settings:
#' `...` takes the settings, which have the same names and defaults as in Python:
#' \describe{
#'   \item{`size = NULL`}{`c(height, width)`, or one number for both, to which images are brought;
#'     by default the size that all images have, made smaller where a side is longer than 128
#'     pixels and larger where it is shorter than 8; 64 x 64 where they differ.}
#'   \item{`channels = NULL`}{1 for grey, 3 for colour, of which the strongest gradient counts; by
#'     default as the images are.}
#'   \item{`orientations = 9`, `cell = NULL`, `block = 2`}{bins of a histogram; height and width in
#'     pixels of the squares that have one each, by default an eighth of the shorter side, from 2 to
#'     8; height and width in cells of the squares within which histograms are normalised.}
#'   \item{`C = 10^(-4:2)`}{inverse strength of the penalty on the coefficients of the standardised
#'     features; of several, that with the least log loss. They are tried from the strongest
#'     penalty on until one does worse than the one before.}
#'   \item{`inner_folds = 5`}{of that cross-validation; fewer where a class has fewer images.}
#'   \item{`class_weight = NULL`}{`"balanced"`, or a named vector, one number a level.}
#'   \item{`seed = 0`}{of the folds.}
#' }
#'
#' @inheritParams image_classifier
#' @param x,formula A formula such as `digit ~ image`: the labels, and the one column of images; or
#'   a data frame with a column `image` (or one column only), an array, a list of matrices or a
#'   vector of file names.
#' @return An object of class `hog_classifier` and `image_classifier`: it predicts, is assessed,
#'   compared, saved and loaded as a network is. `tidy()` gives the penalties that were tried:
#'   `C`, `log_loss` and whether it was `chosen`; `glance()` one row on the whole fit.
#' @references
#' N. Dalal, B. Triggs: Histograms of oriented gradients for human detection, CVPR 2005,
#' \doi{10.1109/CVPR.2005.177}.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- hog_classifier(label ~ image, data = digits[1:500, ])
#' fit
#' evaluate(fit, digits[501:700, ])
hog_classifier <- function(x, ...) {
  UseMethod("hog_classifier")
}

#' @rdname hog_classifier
#' @export
hog_classifier.formula <- function(formula, data = NULL, weights = NULL, ...) {
  call <- called("hog_classifier", match.call())
  given <- rlang::inject(
    training_data(formula, data, weights = !!substitute(weights), ..., known = hog_names())
  )
  fit_hog(given, call)
}

#' @rdname hog_classifier
#' @export
hog_classifier.data.frame <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("hog_classifier", match.call())
  fit_hog(training_data(x, y, weights, ..., known = hog_names()), call)
}

#' @rdname hog_classifier
#' @export
hog_classifier.array <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("hog_classifier", match.call())
  fit_hog(training_data(x, y, weights, ..., known = hog_names()), call)
}

#' @rdname hog_classifier
#' @export
hog_classifier.default <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("hog_classifier", match.call())
  fit_hog(training_data(x, y, weights, ..., known = hog_names()), call)
}

# The settings and their defaults, the same as Python's (a test compares them).
hog_setting_defaults <- function() {
  list(
    size = NULL, channels = NULL, orientations = 9, cell = NULL, block = 2, C = 10^(-4:2),
    inner_folds = 5, class_weight = NULL, seed = 0
  )
}

hog_names <- function() names(hog_setting_defaults())

fit_hog <- function(given, call, env = rlang::caller_env()) {
  given$settings$seed <- given$settings$seed %||% 0
  sent <- training_payload(given, env)
  answer <- call_bridge(
    "fit_hog", sent$images, sent$labels, sent$settings, sent$weights,
    call = env
  )
  new_hog(
    answer,
    call = call, terms = given$terms, ordered = sent$labels$ordered, images = sent$count
  )
}

new_hog <- function(answer, call = NULL, terms = list(), ordered = FALSE, images = NA_integer_) {
  about <- answer$description
  new_model(
    answer,
    levels = text_from(about$levels), ordered = isTRUE(ordered), images = images,
    features = about$features, chosen = about$chosen,
    call = call, terms = terms, class = c("hog_classifier", "image_classifier")
  )
}

#' @export
print.hog_classifier <- function(x, ...) {
  settings <- x$settings
  writeLines(c(
    "Image classifier without a network",
    if (!is.null(x$call)) paste0("  ", deparse(x$call, width.cutoff = 75L, nlines = 3L)),
    "",
    line("features", sprintf(
      "%s of gradients: %d directions, cells of %d x %d pixels, blocks of %d x %d cells",
      counted(x$features), settings$orientations, settings$cell, settings$cell, settings$block,
      settings$block
    )),
    line("input", sprintf(
      "%d x %d x %d", x$network$height, x$network$width, x$network$channels
    )),
    line("classes", level_list(x)),
    line("images", if (is.na(x$images)) "unknown" else counted(x$images)),
    line("penalty", sprintf(
      "C = %s, chosen among %d", format(x$chosen, digits = 3L), max(1L, nrow(x$history))
    )),
    line("fingerprint", paste0(substr(x$fingerprint, 1L, 16L), "..."))
  ))
  invisible(x)
}

#' @export
summary.hog_classifier <- function(object, ...) {
  rlang::check_dots_empty()
  structure(
    list(fit = object, path = tidy.hog_classifier(object)),
    class = "summary.hog_classifier"
  )
}

#' @export
print.summary.hog_classifier <- function(x, ...) {
  print(x$fit)
  if (nrow(x$path) > 0L) {
    writeLines(c("", "Penalties, by cross-validation"))
    print(as.data.frame(x$path), digits = 4L, row.names = FALSE)
  }
  invisible(x)
}

#' @export
tidy.hog_classifier <- function(x, ...) {
  rlang::check_dots_empty()
  tibble::add_column(x$history, chosen = x$history$C == x$chosen)
}

#' @export
glance.hog_classifier <- function(x, ...) {
  rlang::check_dots_empty()
  path <- tidy.hog_classifier(x)
  loss <- path$log_loss[path$chosen]
  tibble::tibble(
    features = x$features, parameters = x$network$parameters, classes = length(x$levels),
    images = x$images, C = x$chosen, log_loss = if (length(loss) == 1L) loss else NA_real_,
    seed = x$seed, fingerprint = x$fingerprint
  )
}

#' @export
plot.hog_classifier <- function(x, ...) {
  path <- tidy.hog_classifier(x)
  if (nrow(path) == 0L) {
    abort_diglot(
      "There is nothing to draw: the penalty was given, not chosen.",
      call = rlang::current_env()
    )
  }
  graphics::plot(
    path$C, path$log_loss,
    type = "b", log = "x", pch = ifelse(path$chosen, 19L, 1L), xlab = "C (inverse penalty)",
    ylab = "log loss in cross-validation", ...
  )
  invisible(x)
}

# What a network's fit has, and the baseline has not.

#' @export
update.hog_classifier <- function(object, ...) no_network("update", rlang::current_env())

#' @export
fine_tune.hog_classifier <- function(object, ...) no_network("fine_tune", rlang::current_env())

#' @export
embed.hog_classifier <- function(object, ...) no_network("embed", rlang::current_env())

#' @export
calibrate.hog_classifier <- function(object, ...) no_network("calibrate", rlang::current_env())

#' @export
explain.hog_classifier <- function(x, ...) no_network("explain", rlang::current_env())

#' @export
coef.hog_classifier <- function(object, ...) no_network("coef", rlang::current_env())

#' @export
predict.hog_classifier <- function(object, newdata, type = c("class", "prob"), ...) {
  check_type(type, c("class", "prob"), rlang::current_env())
  NextMethod()
}

#' @export
conformalize.hog_classifier <- function(object, ...) {
  no_network("conformalize", rlang::current_env())
}

no_network <- function(name, call) {
  abort_diglot(
    sprintf("`%s()` takes a fit of image_classifier(): the baseline has no network.", name),
    call = call
  )
}
