# Assessment: every metric with its interval, and the report.

#' Assess a classifier on labelled images
#'
#' Computes accuracy and its relatives on images that were not in the training, each with an
#' interval.
#'
#' @param x A fit, see [image_classifier()].
#' @param newdata Images, as for [predict()][predict.image_classifier]; for a fit by formula a data
#'   frame with its labels, too.
#' @param truth The labels, where `newdata` does not hold them. All must be levels of the fit.
#' @param ... Not used.
#' @return A tibble with one row a metric, or a metric and a class: `metric`, `class`, `estimate`,
#'   the interval from `lower` to `upper`, the `method` that computed the interval, and `n`, the
#'   number of images behind it.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' evaluate(fit, digits[501:700, ])
evaluate.image_classifier <- function(x, newdata, truth = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  test <- test_payload(x, newdata, truth, env)
  table_from(call_bridge("evaluate", live_model(x, env), test$images, test$codes, call = env))
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
  codes <- code_labels(
    newdata_labels(object, newdata, truth, what, call), object$levels, labels, call
  )
  check_lengths(image_count(images), length(codes), call)
  if (length(codes) == 0L) {
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
#' equal those of COCO's evaluation on the same words.
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
                                      resamples = 1000, meteor = "auto", ...) {
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
      resamples = resamples
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

#' Write a report on a classifier
#'
#' Writes one HTML file that needs no other: training curves, metrics with their intervals, the
#' confusion matrix, and the images that the classifier got wrong.
#'
#' @inheritParams evaluate.image_classifier
#' @param fit A fit, see [image_classifier()].
#' @param path The file to write.
#' @return `path`, invisibly.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' file <- tempfile(fileext = ".html")
#' report(fit, digits[501:700, ], file)
report <- function(fit, newdata, path = "report.html", truth = NULL) {
  env <- rlang::current_env()
  check_fit(fit, env)
  test <- test_payload(fit, newdata, truth, env)
  target <- enc2utf8(path.expand(path))
  call_bridge("report", live_model(fit, env), test$images, test$codes, target, call = env)
  invisible(path)
}

check_fit <- function(fit, call, class = "image_classifier") {
  if (!inherits(fit, class)) {
    makers <- c(
      image_classifier = "image_classifier()",
      diglot_model = "image_classifier(), image_captioner()"
    )
    abort_diglot(
      sprintf(
        "`fit` must be a fit of %s or load_model(), not %s.", makers[[class]], describe_class(fit)
      ),
      call = call
    )
  }
}
