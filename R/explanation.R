# Where a classifier looks, what it got most wrong, and which images it takes for alike.

#' @importFrom generics explain
#' @export
generics::explain

#' Explain what a fit sees
#'
#' `explain()` makes a map for each image of which parts of it speak for a class. `plot()` and
#' `autoplot()` lay the maps over the images.
#'
#' @section Methods:
#' - `"grad_cam"` weighs the cells of a layer by how much the class's score grows with them. It is
#'   quick, and as coarse as the layer's grid; networks without convolutions have none. Its
#'   setting is `layer`, one that keeps places, by default the last. Its maps are not negative.
#' - `"integrated_gradients"` shares out to the pixels by how much the score differs from that of
#'   a baseline. Its settings are `baseline`, by default `"mean"`, and `steps`, 50. The sum of each
#'   map is about `changes`, the score's change from the baseline to the image;
#'   `completeness_error` says what it lacks or has too much: where that is large, take more steps.
#' - `"occlusion"` hides one superpixel after the other, and sees how far the score drops. Its
#'   settings are `segments`, about how many superpixels, 50; `compactness`, 10, which makes them
#'   look the more like squares the larger it is; and `fill`, by default `"mean"`, what a hidden
#'   superpixel shows.
#'
#' `baseline` and `fill` are `"mean"` (of the training images), `"black"`, `"grey"`, `"white"`,
#' `"blur"` (the image blurred), one number from 0 to 1, one for each channel, or an image.
#'
#' All take `scale`, on which the class's score is measured: `"logit"`, what the network puts out
#' (by default); `"log_odds"` of the class's probability (by default for `"occlusion"`); or
#' `"probability"`. It is the network that is explained, not what [calibrate()] makes of it.
#'
#' @param x A fit, see [image_classifier()], [image_regressor()] and [image_tagger()].
#' @param newdata Images, as for [predict()][predict.image_classifier].
#' @param class Which class to explain: one level, or one for each image; of other fits which tag
#'   or which quantile. By default the class that is predicted, the most probable tag, the
#'   quantile nearest to the median.
#' @param method How to explain, see below.
#' @param ... For `explain()`: the method's settings, see below. Otherwise not used.
#' @return An object of class `diglot_saliency`, a list with
#' - `maps`: an array (image, height, width), in units of the score; negative where something
#'   speaks against the class;
#' - `images`: an array (image, height, width, channel), the images as the network sees them, from
#'   0 to 1;
#' - `classes`: a factor, the class that was explained;
#' - `method`, `scale` and `settings`: how the maps were made;
#' - `scores`: the class's score for each image;
#' - `completeness_error` and `changes`: see below; `NULL` for other methods.
#' @references
#' R. Selvaraju and others: Grad-CAM, ICCV 2017,
#' [doi:10.1109/ICCV.2017.74](https://doi.org/10.1109/ICCV.2017.74). M. Sundararajan, A. Taly,
#' Q. Yan: Axiomatic attribution for deep networks, ICML 2017. M. Zeiler, R. Fergus: Visualizing
#' and understanding convolutional networks, ECCV 2014. R. Achanta and others: SLIC superpixels,
#' IEEE TPAMI 34, 2012.
#' @seealso [worst_errors()] for images that are worth explaining, [nearest_images()].
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' explain(fit, digits[501:503, ])
#' found <- explain(fit, digits[501:503, ], "3", method = "integrated_gradients", steps = 20)
#' rbind(sums = apply(found$maps, 1, sum), changes = found$changes)
explain.image_classifier <- function(x, newdata, class = NULL,
                                     method = c("grad_cam", "integrated_gradients", "occlusion"),
                                     ...) {
  env <- rlang::current_env()
  method <- check_choice(method, c("grad_cam", "integrated_gradients", "occlusion"), "method", env)
  settings <- checked_settings(..., known = saliency_settings(method), call = env)
  check_newdata(missing(newdata), env, "explain")
  images <- newdata_images(x, newdata, "newdata", env)
  answer <- call_bridge(
    "explain", live_model(x, env), images_or_none(images, "newdata", env),
    class_payload(class, image_count(images), output_levels(x), env), method,
    lapply(settings, shade_payload, call = env),
    call = env
  )
  new_saliency(answer, x, method)
}

#' @rdname explain.image_classifier
#' @export
explain.image_regressor <- explain.image_classifier

#' @rdname explain.image_classifier
#' @export
explain.image_tagger <- explain.image_classifier

# What a fit's outputs are of: classes, tags, quantiles, or the one prediction.
output_levels <- function(fit) {
  switch(fit_kind(fit),
    classifier = fit$levels,
    tagger = fit$tags,
    if (length(fit$quantiles) > 1L) as.character(fit$quantiles) else "prediction"
  )
}

images_or_none <- function(images, what, call) {
  if (image_count(images) == 0L) {
    return(list(kind = "list", items = list()))
  }
  image_payload(images, what, call)
}

# The settings of each method, the same as Python's (a test compares them).
saliency_settings <- function(method) {
  own <- switch(method,
    grad_cam = "layer",
    integrated_gradients = c("baseline", "steps"),
    occlusion = c("segments", "compactness", "fill")
  )
  c(own, "scale")
}

class_payload <- function(class, count, levels, call) {
  if (is.null(class)) {
    return(NULL)
  }
  if (is.double(class) && !is.object(class) && any(class != round(class), na.rm = TRUE)) {
    class <- as.character(class) # a quantile; whole numbers are spelt as levels are
  }
  codes <- code_labels(class, levels, "class", call)
  if (!length(codes) %in% c(1L, count)) {
    abort_diglot(
      sprintf(
        "`class` must be one level, or %d, one for each image; it has %d.", count, length(codes)
      ),
      call = call
    )
  }
  array(rep_len(codes, count))
}

# A baseline may be an image: its dimensions matter.
shade_payload <- function(value, call) {
  if (is.numeric(value) && length(dim(value)) > 1L) {
    storage.mode(value) <- "double"
    return(value)
  }
  if (is.atomic(value) && anyNA(value)) {
    abort_diglot("Settings must not be NA; leave them out for their defaults.", call = call)
  }
  setting_payload(value)
}

new_saliency <- function(answer, fit, method) {
  size <- as.integer(unlist(answer$dim))
  structure(
    list(
      maps = array(as.vector(answer$maps), size[1:3]),
      images = array(as.vector(answer$images), size),
      classes = factor(
        output_levels(fit)[as.vector(answer$codes) + 1L], output_levels(fit),
        ordered = isTRUE(fit$ordered)
      ),
      method = method,
      scale = answer$scale,
      settings = answer$settings,
      scores = as.vector(answer$scores),
      completeness_error = as_vector_or_null(answer$completeness_error),
      changes = as_vector_or_null(answer$changes)
    ),
    class = "diglot_saliency"
  )
}

few_digits <- function(x) format(x, digits = 2L)

as_vector_or_null <- function(x) if (!is.null(x)) as.vector(x)

#' @export
print.diglot_saliency <- function(x, ...) {
  size <- dim(x$maps)
  told <- x$settings
  told <- if (length(told) > 0L) paste0(" (", paste(names(told), told, collapse = ", "), ")")
  often <- table(droplevels(x$classes))
  lines <- c(
    sprintf("%d saliency maps of %d x %d pixels", size[1L], size[2L], size[3L]),
    sprintf("  method   %s%s", in_words(x$method), told %||% ""),
    sprintf("  classes  %s", paste0(names(often), " (", often, ")", collapse = ", ")),
    sprintf("  scale    %s", gsub("_", " ", x$scale, fixed = TRUE))
  )
  if (!is.null(x$completeness_error) && size[1L] > 0L) {
    lines <- c(lines, sprintf(
      "  sums     off the score's change (%s on average) by %s on average, %s at most",
      few_digits(mean(abs(x$changes))), few_digits(mean(abs(x$completeness_error))),
      few_digits(max(abs(x$completeness_error)))
    ))
  }
  writeLines(lines)
  invisible(x)
}

#' The images that a classifier got most wrong
#'
#' @inheritParams evaluate.image_classifier
#' @param fit A fit, see [image_classifier()].
#' @param n How many at most; there are fewer where the fit made fewer errors.
#' @return A tibble with one row an error, the worst first: `row` (of `newdata`), `truth` and
#'   `predicted` (factors), `probability` (of what was predicted), `probability_of_truth`, and
#'   `loss`, the negative logarithm of that, by which they are ordered.
#' @seealso [explain()][explain.image_classifier] for where the network looked.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' worst_errors(fit, digits[501:700, ], n = 5)
worst_errors <- function(fit, newdata, truth = NULL, n = 24) {
  env <- rlang::current_env()
  check_fit(fit, env)
  check_number(n, "n", env)
  test <- test_payload(fit, newdata, truth, env)
  table <- table_from(call_bridge(
    "worst_errors", live_model(fit, env), test$images, test$codes, n,
    call = env
  ))
  table$row <- table$row + 1L
  for (name in c("truth", "predicted")) {
    table[[name]] <- factor(as.character(table[[name]]), fit$levels, ordered = fit$ordered)
  }
  table
}

#' The training images that a model takes for most alike
#'
#' Alike are images for which the network's head sees nearly the same: the distance is that of
#' their features, see [embed()].
#'
#' @param fit A fit, see [image_classifier()], [image_regressor()] and [image_tagger()].
#' @param newdata Images, as for [predict()][predict.image_classifier].
#' @param data Where to look for images that are like these: such as the training data.
#' @param labels What the images of `data` show, where `data` does not hold it.
#' @param n How many for each image.
#' @param metric The distance between features: `"euclidean"`, or `"cosine"`, which is one less the
#'   cosine of their angle.
#' @return A tibble with one row a neighbour: `row` (of `newdata`), `rank` (1 is the nearest),
#'   `neighbour` (its row in `data`), `distance` and `label` (`NA` where none is known).
#' @seealso [explain()][explain.image_classifier]
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' nearest_images(fit, digits[501:502, ], digits[1:500, ], n = 3)
nearest_images <- function(fit, newdata, data, labels = NULL, n = 5,
                           metric = c("euclidean", "cosine")) {
  env <- rlang::current_env()
  check_fit(fit, env, c("image_classifier", "image_regressor", "image_tagger"))
  check_number(n, "n", env)
  metric <- check_choice(metric, c("euclidean", "cosine"), "metric", env)
  check_newdata(missing(newdata), env, "compare")
  if (missing(data)) {
    abort_diglot("`data` is missing: where to look for images that are alike.", call = env)
  }
  images <- newdata_images(fit, newdata, "newdata", env)
  known <- newdata_images(fit, data, "data", env)
  labels <- known_labels(fit, data, labels, env)
  if (!is.null(labels)) {
    check_lengths(image_count(known), NROW(labels), env)
  }
  table <- table_from(call_bridge(
    "nearest_images", live_model(fit, env), images_or_none(images, "newdata", env),
    image_payload(known, "data", env), n, metric,
    call = env
  ))
  table$row <- table$row + 1L
  table$neighbour <- table$neighbour + 1L
  table$label <- if (is.null(labels)) {
    rep(NA, nrow(table))
  } else if (length(dim(labels)) == 2L) { # tags, a column each
    labels[table$neighbour, , drop = FALSE]
  } else {
    labels[table$neighbour]
  }
  table
}

# What the images show, where that is given or a column of the data.
known_labels <- function(fit, data, labels, call) {
  if (!is.null(labels)) {
    return(labels)
  }
  if (has_side(fit, data, "outcome")) side_value(fit$terms, "outcome", data, "data", call)
}
