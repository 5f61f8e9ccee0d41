# How sure a classifier is: calibrated probabilities, and sets of classes that keep a promise.

#' Calibrate a classifier
#'
#' Networks are too sure of themselves: of the images that they give a probability of 0.99, less
#' than 99 in 100 are what they say. `calibrate()` learns from other images how the probabilities
#' are to be mended, and returns a fit that says them.
#'
#' @section Methods:
#' - `"temperature"` divides the log-probabilities by one number, found by maximum likelihood. Some
#'   hundred images are enough. The most probable class stays the same.
#' - `"isotonic"` learns a rising curve for each class, against the rest, and brings the sum to 1
#'   again. It can mend more, and takes a thousand images or more, some of each class.
#' - `"none"` undoes a calibration, and needs no images.
#'
#' Everything that says probabilities uses them: [predict()][predict.image_classifier],
#' [evaluate()][evaluate.image_classifier], [augment()][augment.image_classifier]. The weights, and
#' so [fingerprint()], stay as they are; [saveRDS()] and [save_model()] keep the calibration.
#' Training on, as [update()][update.image_classifier] does, forgets it.
#'
#' @param object A fit, see [image_classifier()]. It stays as it is.
#' @param data Images that were not in the training: a data frame with the columns of the fit's
#'   formula, or images of any kind that [image_classifier()] takes, with their labels in `y`.
#' @param y The labels, where `data` does not hold them. All must be levels of the fit.
#' @param method How to calibrate, see below.
#' @param ... Not used.
#' @return A fit. Sets that [conformalize()] had learned are forgotten, with a warning: they were
#'   for other probabilities.
#' @references
#' C. Guo and others: On calibration of modern neural networks, ICML 2017,
#' [arXiv:1706.04599](https://arxiv.org/abs/1706.04599). B. Zadrozny, C. Elkan: Transforming
#' classifier scores into accurate multiclass probability estimates, KDD 2002.
#' @seealso [conformalize()] for sets of classes.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 5, seed = 1)
#' fit <- calibrate(fit, digits[501:900, ])
#' fit
calibrate <- function(object, ...) {
  UseMethod("calibrate")
}

#' @export
calibrate.default <- function(object, ...) {
  check_fit(object, rlang::current_env())
}

#' @rdname calibrate
#' @export
calibrate.image_classifier <- function(object, data, y = NULL,
                                       method = c("temperature", "isotonic", "none"), ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  method <- check_choice(method, c("temperature", "isotonic", "none"), "method", env)
  given <- list(images = NULL, codes = NULL)
  if (method != "none") {
    given <- test_payload(object, data, y, env, what = "data", labels = "y", purpose = "learn from")
  }
  refitted(object, "calibrate", given$images, given$codes, method, call = env)
}

#' Let a fit answer with sets of classes, or with intervals
#'
#' `conformalize()` learns from images that were neither in the training nor in the calibration how
#' large a set of classes must be to hold the true one as often as is asked for, or how wide an
#' interval to hold the true number. [predict()][predict.image_classifier] with `type = "set"`, for
#' [numbers][predict.image_regressor] with `type = "interval"`, then gives such answers, for any
#' coverage; `coverage()` counts how often they do hold the truth.
#'
#' @section What is promised:
#' If the images to come are like those that the sets were learned from, the true class is in its
#' set with at least the probability `coverage`, whatever the network and however few the images:
#' with few images sets are larger. So is the true number in its interval. The promise is for images
#' on average, not for each kind of image; with `class_conditional = TRUE` it is for each class. It
#' is not for images of another source.
#'
#' By default the coverage is not more than the stated one either, but for one in the number of
#' images. For that, sets may be empty: a network that is right more often than `coverage` says
#' leaves out the truth of some images, the strangest. With `allow_empty = FALSE` an empty set gets
#' the most probable class, which can only raise the coverage.
#'
#' @section Methods:
#' - `"aps"` takes the most probable classes until their sum is large enough: sets are small for
#'   images that are clear, and large for those that are not.
#' - `"raps"` does so with a penalty on large sets, for many classes. By default a fifth of the
#'   images is taken aside to choose `k_reg` and `penalty` by.
#' - `"lac"` takes the classes above one probability. Its sets are the smallest on average, but too
#'   small for images that are not clear.
#'
#' Scores of `"aps"` and `"raps"` have a random part, without which sets would be larger than need
#' be. It is derived from the fit's seed and the image itself, so that an image always has the same
#' set. `randomized = FALSE` does without.
#'
#' The intervals of numbers are of one width around a mean or a rate. Of a fit that learned several
#' quantiles, the interval between the lowest and the highest is widened or narrowed, all by as
#' much.
#'
#' @inheritParams calibrate
#' @param method How to score classes, see below.
#' @param class_conditional Whether the coverage shall hold for each class. That takes more images,
#'   for a coverage of 0.9 at least 9 of each class, better 50; a class with fewer is in every set,
#'   with a warning.
#' @param randomized Whether scores have a random part.
#' @param k_reg,penalty For `"raps"`: from which rank on a class costs, and how much each rank.
#' @param allow_empty Whether sets may be empty.
#' @return `conformalize()`: a fit. `coverage()`: a tibble with one row for each coverage asked for
#'   and, below it, one for each class: `coverage`, `class` (missing for the whole), `estimate` (how
#'   often the set holds the true class), `lower`, `upper` and `method` of its interval, `n` (the
#'   number of images) and `mean_size` (classes in a set, or the width of an interval). It has the
#'   class `diglot_coverage`, so that `autoplot()` draws it.
#' @references
#' Y. Romano, M. Sesia, E. Candès: Classification with valid and adaptive coverage, NeurIPS 2020
#' (`"aps"`). A. Angelopoulos and others: Uncertainty sets for image classifiers using conformal
#' prediction, ICLR 2021 (`"raps"`). M. Sadinle, J. Lei, L. Wasserman: Least ambiguous set-valued
#' classifiers with bounded error levels, JASA 114, 2019 (`"lac"`). V. Vovk: Conditional validity of
#' inductive conformal predictors, ACML 2012 (`class_conditional`). J. Lei and others:
#' Distribution-free predictive inference for regression, JASA 113, 2018, and Y. Romano,
#' E. Patterson, E. Candès: Conformalized quantile regression, NeurIPS 2019 (numbers).
#' @seealso [calibrate()], which goes before.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 5, seed = 1)
#' fit <- conformalize(fit, digits[501:900, ])
#' predict(fit, digits[901:905, ], type = "set", coverage = 0.95)
#' coverage(fit, digits[901:1500, ], coverage = 0.95)
conformalize <- function(object, ...) {
  UseMethod("conformalize")
}

#' @export
conformalize.default <- function(object, ...) {
  check_fit(object, rlang::current_env())
}

#' @rdname conformalize
#' @export
conformalize.image_classifier <- function(object, data, y = NULL, method = c("aps", "raps", "lac"),
                                          class_conditional = FALSE, randomized = TRUE,
                                          k_reg = NULL, penalty = NULL, allow_empty = TRUE, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  method <- check_choice(method, c("aps", "raps", "lac"), "method", env)
  options <- list(
    method = method, class_conditional = class_conditional, randomized = randomized,
    allow_empty = allow_empty, k_reg = k_reg, penalty = penalty
  )
  for (name in c("class_conditional", "randomized", "allow_empty")) {
    check_flag(options[[name]], name, env)
  }
  options <- options[!vapply(options, is.null, NA)]
  for (name in intersect(c("k_reg", "penalty"), names(options))) {
    check_number(options[[name]], name, env, "number")
  }
  given <- test_payload(object, data, y, env, what = "data", labels = "y", purpose = "learn from")
  refitted(object, "conformalize", given$images, given$codes, options, call = env)
}

#' @rdname conformalize
#' @export
coverage <- function(object, ...) {
  UseMethod("coverage")
}

#' @export
coverage.default <- function(object, ...) {
  check_fit(object, rlang::current_env())
}

#' @rdname conformalize
#' @param newdata Images, as for [predict()][predict.image_classifier], with their labels.
#' @param truth The labels or numbers, where `newdata` does not hold them.
#' @param coverage The coverages to ask for, between 0 and 1.
#' @param level Of the intervals.
#' @export
coverage.image_classifier <- function(object, newdata, truth = NULL, coverage = c(0.8, 0.9, 0.95),
                                      level = 0.95, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  check_conformal(object, env)
  for (stated in coverage) {
    check_share(stated, "coverage", env)
  }
  check_share(level, "level", env)
  given <- test_payload(object, newdata, truth, env)
  table <- table_from(call_bridge(
    "coverage", live_model(object, env), given$images, given$codes, as.list(coverage), level,
    call = env
  ))
  class(table) <- c("diglot_coverage", class(table)) # for autoplot()
  table
}

#' @rdname conformalize
#' @export
coverage.image_regressor <- coverage.image_classifier

# The columns of predict(type = "set").
set_columns <- function(object, newdata, coverage, call) {
  check_conformal(object, call)
  check_share(coverage, "coverage", call)
  set_table(
    object, level_matrix("predict_set", logical(), object, newdata, coverage, call = call)
  )
}

# `inside` says which levels are in which set, a row an image.
set_table <- function(object, inside) {
  kind <- if (object$ordered) c("ordered", "factor") else "factor"
  sets <- lapply(seq_len(nrow(inside)), function(row) {
    structure(which(inside[row, ]), levels = object$levels, class = kind)
  })
  tibble::tibble(.pred_set = sets, .set_size = as.integer(rowSums(inside)))
}

check_conformal <- function(object, call) {
  if (!any(c("sets", "intervals") %in% names(object$certainty))) {
    abort_diglot(
      paste(
        "The fit has not learned what to answer with: call conformalize() first, with images that",
        "were not in the training."
      ),
      call = call
    )
  }
}

check_share <- function(x, what, call) {
  if (!is.numeric(x) || length(x) != 1L || is.na(x) || x <= 0 || x >= 1) {
    abort_diglot(sprintf("`%s` must be between 0 and 1, such as 0.9.", what), call = call)
  }
}

# The fit with what a function of the bridge makes of its model file; `...` is what that takes.
refitted <- function(object, name, ..., call) {
  wrap <- function(answer) {
    new_fit(
      answer,
      call = object$call, terms = object$terms, ordered = object$ordered
    )
  }
  wrap(call_bridge(name, object$model, asked_engine(object), ..., call = call, on_model = wrap))
}
