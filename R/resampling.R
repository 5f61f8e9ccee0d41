# Cross-validation and learning curves.

#' Cross-validate a model
#'
#' `cross_validate()` deals the images out to folds, trains on all folds but one and tests on that
#' one, for each in turn. Every image is tested once in each repeat, by a model that has not seen
#' it.
#'
#' @section The interval:
#' Models of different folds share most of their training images, so that their results depend on
#' each other, and the usual interval of a mean is far too narrow. `summary()` gives the corrected
#' resampled t interval of Nadeau and Bengio (2003): the mean of J results has the variance
#' \eqn{s^2 (1/J + n_{test}/n_{train})}{s^2 (1/J + n_test/n_train)}, and t has J - 1 degrees of
#' freedom.
#'
#' @section Side by side:
#' `jobs = 2` trains two folds at a time, each in a process of its own with its share of the cores.
#' The number of threads that a network computes with is part of its result, to the last digits: it
#' is the attribute `threads`. The results are the same for any number of jobs with as many threads.
#'
#' @section When a fold fails:
#' A warning names it and says why, and its metrics are missing; the others are there. An interrupt
#' (Ctrl-C, Esc) leaves the folds that are done, with a warning of class
#' `diglot_warning_interrupted`.
#'
#' @param x,... As in [image_classifier()]: a formula and `data`, or images `x` and labels `y`;
#'   `weights`; settings, among them `network`. With `model = "hog"` the settings of
#'   [hog_classifier()]. `validation` may be a share; `callbacks` and checkpoints are not taken.
#' @param folds Parts of the data, each of which is tested on once.
#' @param repeats How many times the data are dealt out anew.
#' @param groups Images that belong together, such as those of one patient: a column of `data`, by
#'   name or as a formula (`~patient`), or a vector. No group is on both sides of a fold.
#' @param stratify Whether each fold has the same shares of the classes, or of ten bins of a
#'   numeric outcome.
#' @param metrics Which metrics, such as `c("accuracy", "log_loss")`; by default all that are not of
#'   one class, see [evaluate()][evaluate.image_classifier].
#' @param model `"network"` for [image_classifier()], or what its `family` asks for, `"hog"` for the
#'   baseline [hog_classifier()].
#' @param seed Of the folds, the same by default, so that two models are compared on the same
#'   folds; `NULL` draws one with R's generator. Each fold's network has another seed, derived from
#'   this one.
#' @param jobs How many folds to train side by side.
#' @param object,level A result; the level of the intervals.
#' @return `cross_validate()`: a tibble of class `diglot_resamples` with one row a fold: `repeat`,
#'   `fold`, `n_train`, `n_test`, `seconds` (of training), `seed` (of the model), then the metrics.
#'   Its attributes are `failures` (a tibble: `repeat`, `fold`, `error`), `seed`, `jobs` and
#'   `threads`.
#'
#'   `summary()`: a tibble with one row a metric: `metric`, `estimate` (the mean over folds), the
#'   interval from `lower` to `upper`, its `method`, and `n`, the number of folds.
#'
#'   `augment()`: a tibble of the predictions, one row an image and repeat: `.row` in the data,
#'   `repeat`, `fold`, `truth`, `.pred_class` and `.pred_<level>`; of numbers `.pred`, of tags
#'   `.pred_<tag>`.
#' @references
#' C. Nadeau, Y. Bengio: Inference for the generalization error, Machine Learning 52, 2003,
#' \doi{10.1023/A:1024068626366}.
#' @seealso [learning_curve()].
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")[1:300, ]
#' found <- cross_validate(label ~ image, digits, network = "mlp", epochs = 2, folds = 3)
#' found
#' summary(found)
#' augment(found)
#' # what gradients alone tell, on the same folds
#' summary(cross_validate(label ~ image, digits, model = "hog", folds = 3, metrics = "accuracy"))
cross_validate <- function(x, ..., folds = 5, repeats = 1, groups = NULL, stratify = TRUE,
                           metrics = NULL, model = c("network", "hog"), seed = 0, jobs = 1) {
  env <- rlang::current_env()
  call <- match.call()
  model <- check_choice(model, c("network", "hog"), "model", env)
  given <- training_data(x, ..., known = resampled_settings(model, ...))
  groups <- group_values(rlang::enquo(groups), rlang::enquos(...), x, env)
  sent <- resampling_payload(
    given, model, folds, repeats, groups, stratify, metrics, seed, jobs, env
  )
  answer <- do.call(call_bridge, c("cross_validate", sent, list(call = env)))
  resampled(
    table_from(answer$folds), answer, call, "diglot_resamples",
    predictions = table_from(answer$predictions)
  )
}

#' Draw a learning curve
#'
#' `learning_curve()` trains on more and more images of each fold, and tests on the same images each
#' time: it shows whether more images would help.
#'
#' Within a fold, each training set holds the smaller ones. Each has its share of every class, and
#' at least one image of it.
#'
#' @inheritParams cross_validate
#' @param sizes How many images to train on: numbers up to 1 are shares of what a fold has to train
#'   on (of the smallest, where folds differ), larger ones count images.
#' @param training Whether to summarise the results on the training images.
#' @return `learning_curve()`: a tibble of class `diglot_learning_curve`, with one row a fit, metric
#'   and set of images: `n_train`, `repeat`, `fold`, `metric`, `training` (whether it is of the
#'   training images) and `estimate`. Its attributes are as those of [cross_validate()].
#'
#'   `summary()`: a tibble with one row a number of images and metric: `n_train`, `metric`,
#'   `estimate`, `lower`, `upper` and `n`, the number of folds. The interval has the correction of
#'   the whole folds, which is on the safe side for smaller training sets.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")[1:300, ]
#' curve <- learning_curve(
#'   label ~ image, digits,
#'   sizes = c(50, 0.5, 1), model = "hog", folds = 3, metrics = "accuracy"
#' )
#' summary(curve)
learning_curve <- function(x, ..., sizes = c(0.1, 0.25, 0.5, 0.75, 1), folds = 5, repeats = 1,
                           groups = NULL, stratify = TRUE, metrics = NULL,
                           model = c("network", "hog"), seed = 0, jobs = 1) {
  env <- rlang::current_env()
  call <- match.call()
  model <- check_choice(model, c("network", "hog"), "model", env)
  if (!is.numeric(sizes) || length(sizes) == 0L || !all(is.finite(sizes))) {
    abort_diglot("`sizes` must be numbers: shares up to 1, or counts of images.", call = env)
  }
  given <- training_data(x, ..., known = resampled_settings(model, ...))
  groups <- group_values(rlang::enquo(groups), rlang::enquos(...), x, env)
  sent <- resampling_payload(
    given, model, folds, repeats, groups, stratify, metrics, seed, jobs, env
  )
  sent <- append(sent, list(array(as.double(sizes))), 5L) # before the progress
  answer <- do.call(call_bridge, c("learning_curve", sent, list(call = env)))
  resampled(
    table_from(answer$table), answer, call, "diglot_learning_curve",
    ratio = answer$ratio
  )
}

# ---- what is sent

# A fold's fit goes neither to a file nor to a function of R's, and has its seed from elsewhere.
resampled_settings <- function(model, ...) {
  known <- if (model == "hog") c(hog_names(), "verbose") else asked_settings("classifier", ...)
  setdiff(known, c("seed", "callbacks", "checkpoint", "checkpoint_every", "resume"))
}

# `groups` as a column, its name, a formula or a vector; `dots` hold the data where `x` is a
# formula.
group_values <- function(groups, dots, x, call, what = "data") {
  data <- NULL
  if (is.data.frame(x)) {
    data <- x
  } else if (inherits(x, "formula")) {
    place <- if ("data" %in% names(dots)) "data" else which(names(dots) == "")[1L]
    data <- if (!is.na(place)) rlang::eval_tidy(dots[[place]])
  }
  values <- eval(rlang::quo_get_expr(groups), data, rlang::quo_get_env(groups))
  if (inherits(values, "formula")) {
    values <- formula_value(values[[length(values)]], data, environment(values), call = call)
  }
  if (is.character(values) && length(values) == 1L && is.data.frame(data) && nrow(data) != 1L) {
    if (!values %in% names(data)) {
      missing_column(values, names(data), what, call)
    }
    values <- data[[values]]
  }
  values
}

resampling_payload <- function(given, model, folds, repeats, groups, stratify, metrics, seed, jobs,
                               call) {
  if (has_validation_data(given$settings$validation, call)) {
    abort_diglot("`validation` must be a share here: each fold has its own images.", call = call)
  }
  for (name in c("folds", "repeats", "jobs")) {
    check_number(get(name), name, call, "number")
  }
  if (!is.null(metrics) && !is.character(metrics)) {
    abort_diglot("`metrics` must be names, such as \"accuracy\".", call = call)
  }
  check_flag(stratify, "stratify", call)
  # The seed of the folds; the models' own are Python's to derive.
  seed <- seed %||% draw_seed()
  check_number(seed, "seed", call, "number")
  given$settings$seed <- 0
  kind <- "classifier"
  if (model == "network") {
    asked <- kind_and_settings(kind, given, call)
    given$settings <- asked$settings
    model <- kind <- asked$kind
  }
  sent <- training_payload(given, call, kind)
  sent$settings$seed <- NULL
  if (!is.null(groups)) {
    groups <- label_payload(groups, "groups", call)
    check_lengths(sent$count, length(groups$codes), call, "groups")
  }
  options <- list(
    model = model, folds = whole(folds), repeats = whole(repeats), groups = groups,
    stratify = stratify, metrics = if (!is.null(metrics)) as.list(metrics), seed = whole(seed),
    jobs = whole(jobs)
  )
  list(sent$images, sent$labels, sent$settings, sent$weights, options, sent$progress)
}

# ---- what comes back

resampled <- function(table, answer, call, class, ...) {
  tibble::new_tibble(
    table,
    nrow = nrow(table), ..., failures = table_from(answer$failures), seed = answer$seed,
    jobs = answer$jobs, threads = answer$threads, call = call, class = class
  )
}

#' @rdname cross_validate
#' @export
summary.diglot_resamples <- function(object, level = 0.95, ...) {
  rlang::check_dots_empty()
  known <- c("repeat", "fold", "n_train", "n_test", "seconds", "seed")
  columns <- unclass(object)[c("n_train", "n_test", setdiff(names(object), known))]
  env <- rlang::current_env()
  check_number(level, "level", env, "number")
  table_from(call_bridge(
    "summarise_folds", lapply(columns, function(x) array(as.double(x))), level,
    call = env
  ))
}

#' @rdname learning_curve
#' @param object,level A result; the level of the intervals.
#' @export
summary.diglot_learning_curve <- function(object, level = 0.95, training = FALSE, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  check_number(level, "level", env, "number")
  columns <- lapply(unclass(object)[names(object)], function(column) {
    if (is.character(column)) as.list(column) else array(column)
  })
  table_from(call_bridge(
    "summarise_curve", columns, attr(object, "ratio"), level, isTRUE(training),
    call = env
  ))
}

#' @rdname cross_validate
#' @export
augment.diglot_resamples <- function(x, ...) {
  attr(x, "predictions")
}

#' @export
print.diglot_resamples <- function(x, ...) {
  failed <- nrow(attr(x, "failures"))
  writeLines(sprintf(
    "Cross-validation: %d folds%s, seed %s; summary() has the means and their intervals.",
    nrow(x), if (failed > 0L) sprintf(", %d of which failed", failed) else "",
    format(attr(x, "seed"), scientific = FALSE)
  ))
  NextMethod()
  invisible(x)
}

#' @export
print.diglot_learning_curve <- function(x, ...) {
  writeLines(sprintf(
    "Learning curve of %s training images, seed %s; summary() has the means and their intervals.",
    paste(unique(x$n_train), collapse = ", "), format(attr(x, "seed"), scientific = FALSE)
  ))
  NextMethod()
  invisible(x)
}
