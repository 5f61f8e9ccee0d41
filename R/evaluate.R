# Assessment: every metric with its interval.

#' Assess a classifier on labelled images
#'
#' Computes accuracy and its relatives on images that were not in the training, each with an
#' interval.
#'
#' @section Metrics:
#' - Of the whole: `accuracy`; `balanced_accuracy`, the mean sensitivity of the classes;
#'   `macro_specificity`, `macro_precision` and `macro_f1`, means over the classes;
#'   `weighted_precision` and `weighted_f1`, weighted by how often a class occurs; `kappa`, for
#'   ordered levels `weighted_kappa`, with quadratic weights, and `mean_rank_error`.
#' - Of the probabilities: `log_loss`, `brier`, `roc_auc` (of more than two classes the mean of each
#'   against the rest), `expected_calibration_error` in ten bins and, with more than five classes,
#'   `top_5_accuracy`.
#' - Of each class: `sensitivity`, `specificity`, `precision`, `f1` and, with more than two classes,
#'   `roc_auc`.
#'
#' @section Intervals:
#' Proportions have Wilson's interval, log loss and Brier score the normal one of a mean, areas
#' under ROC curves DeLong's, as in the package pROC; all else has a bootstrap of the images: its
#' percentiles, of the calibration error the basic interval, which mends that the error is too
#' large on average. Where a class is absent the estimate is `NA`, and `n` is 0.
#'
#' Images of one patient are not independent. With `groups` the bootstrap draws whole groups, also
#' for proportions and means, and areas have Obuchowski's variance, DeLong's for clusters.
#'
#' @param x A fit, see [image_classifier()].
#' @param newdata Images, as for [predict()][predict.image_classifier]; for a fit by formula a data
#'   frame with its labels, too.
#' @param truth The labels, where `newdata` does not hold them. All must be levels of the fit.
#' @param groups Images that belong together, such as those of one patient: a column of `newdata`,
#'   by name or as a formula (`~patient`), or a vector.
#' @param level Of the intervals.
#' @param resamples Of the bootstrap; 0 leaves its intervals `NA`.
#' @param seed Of the bootstrap, the same by default, so that the table repeats; `NULL` draws one
#'   with R's generator.
#' @param ... Not used.
#' @return A tibble of class `diglot_metrics` with one row a metric, or a metric and a class:
#'   `metric`, `class`, `estimate`, the interval from `lower` to `upper`, the `method` that computed
#'   the interval, and `n`, the number of images behind it. [autoplot()][autoplot_tables] draws it.
#' @references
#' E. B. Wilson: Probable inference, the law of succession, and statistical inference, JASA 1927.
#' E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson: Comparing the areas under two or more
#' correlated receiver operating characteristic curves, Biometrics 1988. N. A. Obuchowski:
#' Nonparametric analysis of clustered ROC curve data, Biometrics 1997. A. C. Davison,
#' D. V. Hinkley: Bootstrap Methods and their Application, 1997.
#' @seealso [compare_models()], [roc_curve()], [reliability()].
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' evaluate(fit, digits[501:700, ])
#'
#' # as if each person had written five digits
#' test <- digits[501:700, ]
#' test$writer <- rep(1:40, each = 5)
#' evaluate(fit, test, groups = ~writer)
evaluate.image_classifier <- function(x, newdata, truth = NULL, groups = NULL, level = 0.95,
                                      resamples = 1000, seed = 0, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  test <- test_payload(x, newdata, truth, env)
  groups <- group_codes(rlang::enquo(groups), newdata, known_count(test$codes), env)
  options <- judging_options(groups, level, resamples, seed, env)
  metrics <- table_from(
    call_bridge("evaluate", live_model(x, env), test$images, test$codes, options, call = env)
  )
  classed(metrics, "diglot_metrics")
}

# How a model is judged, as the bridge takes it.
judging_options <- function(groups, level, resamples, seed, call) {
  seed <- seed %||% draw_seed()
  options <- list(level = level, resamples = resamples, seed = seed)
  for (name in names(options)) {
    check_number(options[[name]], name, call, "number")
  }
  check_share(level, "level", call)
  c(list(groups = groups), lapply(options, whole))
}

# Groups of new data as codes; `groups` is a quosure, NULL in it for none.
group_codes <- function(groups, newdata, count, call) {
  values <- tryCatch(
    group_values(groups, list(), newdata, call, "newdata"),
    error = function(error) {
      if (inherits(error, "diglot_error")) stop(error)
      abort_diglot(
        sprintf("`groups = %s` cannot be evaluated.", rlang::as_label(groups)),
        call = call, parent = error
      )
    }
  )
  if (is.null(values)) {
    return(NULL)
  }
  codes <- label_payload(values, "groups", call)$codes
  check_lengths(count, length(codes), call, "groups")
  codes
}

# A table that autoplot() knows.
classed <- function(table, class) {
  tibble::new_tibble(table, class = class, nrow = nrow(table))
}

# Images with their labels, for what they are needed; `what` and `labels` name them in messages.
test_payload <- function(object, newdata, truth, call, what = "newdata", labels = "truth",
                         purpose = "assess") {
  if (missing(newdata)) {
    abort_diglot(
      sprintf("`%s` is missing: a fit does not keep its training images.", what),
      call = call
    )
  }
  images <- newdata_images(object, newdata, what, call)
  codes <- known_outcome(
    object, newdata_labels(object, newdata, truth, what, call), labels, call
  )
  check_lengths(image_count(images), known_count(codes), call, outcome_words[[fit_kind(object)]])
  if (image_count(images) == 0L) {
    abort_diglot(
      sprintf("`%s` has no rows: there is nothing to %s.", what, purpose),
      call = call
    )
  }
  list(images = image_payload(images, what, call), codes = codes)
}

#' Assess a captioner by references
#'
#' Captions images that were not in the training and compares the captions with what people wrote
#' of them: BLEU, ROUGE-L, CIDEr-D and, where Java is there, METEOR, each with an interval.
#'
#' The intervals are bootstrap intervals over images, bias corrected and accelerated. All metrics
#' equal those of COCO's evaluation on the same words. With `temperature` or `top_p` one caption of
#' each image is drawn and judged.
#'
#' @inheritParams predict.diglot_captioner
#' @param x A fit, see [image_captioner()].
#' @param newdata Images, as for [predict()][predict.diglot_captioner]; for a fit by formula a data
#'   frame with the captions that people wrote, too: one a row, rows with the same image being one
#'   image, or a list-column.
#' @param references These captions, where `newdata` does not hold them: a character vector, or a
#'   list of character vectors.
#' @param level Of the intervals.
#' @param resamples Of the bootstrap.
#' @param meteor Whether to compute METEOR, which needs Java: `"auto"`, `TRUE` or `FALSE`.
#' @return A tibble with one row a metric: `metric`, `estimate`, the interval from `lower` to
#'   `upper`, the `method` that computed the interval, and `n`, the number of images behind it.
#'   CIDEr-D is on a scale from 0 to 10, all others from 0 to 1.
#' @references
#' K. Papineni and others: BLEU, ACL 2002. C.-Y. Lin: ROUGE, ACL 2004. R. Vedantam and others:
#' CIDEr, CVPR 2015. M. Denkowski, A. Lavie: Meteor Universal, WMT 2014. B. Efron,
#' R. J. Tibshirani: An Introduction to the Bootstrap, 1993, chapter 14.
#' @export
#' @examplesIf diglot_available()
#' data <- shapes(60, seed = 1, size = 32)
#' fit <- image_captioner(captions ~ image, data, hidden = 32, epochs = 1, seed = 1)
#' evaluate(fit, shapes(20, seed = 2, size = 32, split = "test"), meteor = FALSE)
evaluate.diglot_captioner <- function(x, newdata, references = NULL, beams = 5,
                                      length_penalty = 1, max_length = NULL, level = 0.95,
                                      resamples = 1000, meteor = "auto", temperature = NULL,
                                      top_p = 1, seed = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  if (missing(newdata)) {
    abort_diglot("`newdata` is missing: a fit does not keep its training images.", call = env)
  }
  if (!(identical(meteor, "auto") || isTRUE(meteor) || isFALSE(meteor))) {
    abort_diglot("`meteor` must be \"auto\", TRUE or FALSE.", call = env)
  }
  options <- caption_options(
    list(
      beams = beams, length_penalty = length_penalty, max_length = max_length, level = level,
      resamples = resamples, temperature = temperature, top_p = top_p, seed = seed
    ),
    env
  )
  images <- newdata_images(x, newdata, "newdata", env)
  texts <- newdata_labels(x, newdata, references, "newdata", env, learned = "references")
  count <- image_count(images)
  known <- caption_payload(texts, count, "references", env)
  if (count == 0L) {
    abort_diglot("`newdata` has no rows: there is nothing to assess.", call = env)
  }
  table_from(call_bridge(
    "evaluate_captions", live_model(x, env), image_payload(images, "newdata", env), known,
    c(options, list(meteor = meteor)),
    call = env
  ))
}

check_fit <- function(fit, call, class = "image_classifier", what = "fit") {
  if (!inherits(fit, class)) {
    makers <- if (identical(class, "diglot_model")) {
      c("image_classifier", "image_regressor", "image_tagger", "image_captioner")
    } else {
      class
    }
    abort_diglot(
      sprintf(
        "`%s` must be a fit of %s or load_model(), not %s.",
        what, paste0(makers, "()", collapse = ", "), describe_class(fit)
      ),
      call = call
    )
  }
}
