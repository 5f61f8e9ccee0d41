# Fitting: four ways in, one way to Python.

#' Train an image classifier
#'
#' `image_classifier()` trains a network on labelled images and returns the fitted classifier:
#' an ordinary R object that prints, plots, predicts, and is saved with [saveRDS()].
#'
#' @section Images:
#' Images are (height, width) or (height, width, channel), and a set of them counts images first.
#' They come as
#' - a character vector of file names (PNG, JPEG, TIFF, ...), see [read_images()];
#' - a list of matrices or arrays;
#' - an array (image, height, width) or (image, height, width, channel); also as a column of a
#'   tibble, or of a data frame by [I()];
#' - a matrix: each row is a flattened image, a square one where the number of columns is a square.
#'
#' Integers (and raw) are 8-bit pixels from 0 to 255 and are divided by 255; doubles are taken as
#' they are, so scale them to about 0 to 1; logicals are 0 and 1.
#'
#' @section Labels:
#' Labels are a factor, whose order of levels is kept, or character, whole numbers or logicals,
#' whose distinct values in sorted order (in the C locale) become the levels. Levels that do not
#' occur are dropped: nothing can be learned about them. Predictions are factors with the levels
#' of the training; ordered factors stay ordered.
#'
#' @section Settings:
#' `...` takes the settings, which have the same names and defaults as in Python:
#' \describe{
#'   \item{`network = "lenet"`}{a name from [networks()], or what [network()] or [pretrained()]
#'     returns.}
#'   \item{`size = NULL`}{`c(height, width)`, or one number for both, to which images are brought;
#'     by default the size that all images have.}
#'   \item{`channels = NULL`}{1 for grey, 3 for colour; by default as the images are.}
#'   \item{`resize = NULL`}{`"squash"` or `"crop"`, which keeps the proportions and takes the
#'     centre; by default as the network's weights expect it, else `"squash"`.}
#'   \item{`train = "all"`}{what learns, of a network that has weights: everything, the last layer
#'     alone (`"head"`), first that and then everything (`"head_then_all"`), or the layer groups
#'     that are named, such as `c("stage4", "head")`; see [fine_tune()].}
#'   \item{`layer_decay = 1`}{the learning rate of each layer group, as a part of that of the group
#'     behind it.}
#'   \item{`views = NULL`}{where the frozen part is computed once and there is `augment`: how many
#'     changed views of each image; by default one an epoch, at most 5.}
#'   \item{`epochs = 10`, `batch_size = 64`}{passes through the data (`c(1, 5)` for
#'     `"head_then_all"`: of the head, then of everything); images in a step.}
#'   \item{`optimizer = "sgd"`, `learning_rate = NULL`, `momentum = 0.9`, `weight_decay = 1e-4`}{
#'     `"sgd"`, `"adam"` or `"adamw"`; `NULL` takes the optimiser's own rate, see
#'     [find_learning_rate()] for another.}
#'   \item{`schedule = "cosine"`, `warmup_epochs = 0`}{`"constant"`, `"step"`, `"cosine"` or
#'     `"one_cycle"`.}
#'   \item{`clip_norm = NULL`}{the most that the norm of a gradient may be.}
#'   \item{`class_weight = NULL`}{`"balanced"`, or a named vector, one number a level.}
#'   \item{`label_smoothing = 0`, `mixup = 0`}{between 0 and 1; the parameter of MixUp.}
#'   \item{`augment = NULL`}{random changes to the training images, see below.}
#'   \item{`validation = NULL`}{the share of the data to hold out (stratified), or data: a data
#'     frame like `data` for a formula, `list(x, y)` otherwise.}
#'   \item{`patience = NULL`, `monitor = "val_loss"`, `restore_best = TRUE`}{epochs without
#'     improvement of `monitor` after which to stop; whether the best weights are taken.}
#'   \item{`callbacks = NULL`}{a function, or a list of functions (formulas as in purrr, too), of
#'     one row of the history as a tibble, called after each epoch. An answer of `FALSE` ends the
#'     training.}
#'   \item{`checkpoint = NULL`, `checkpoint_every = NULL`, `resume = NULL`}{a folder to which the
#'     state is written each epoch, and every so many steps; the folder from which a training that
#'     was cut short goes on, to the same bytes.}
#'   \item{`device = "auto"`}{`"cpu"`, `"gpu"`, ..., see [devices()].}
#'   \item{`memory_limit = NULL`}{bytes of decoded images to keep in memory.}
#'   \item{`threads = NULL`}{of the processor; by default one for each physical core.}
#'   \item{`seed = NULL`}{a whole number. It drives everything random. `NULL` draws one with R's
#'     generator, so [set.seed()] works; R's random numbers are touched by nothing else.}
#'   \item{`verbose = "auto"`}{progress: a bar in the console, a line an epoch in a knitted
#'     document, silence in tests and scripts. `TRUE` and `FALSE` insist.}
#' }
#'
#' @section When it is cut short:
#' An interrupt (Ctrl-C, Esc) ends the training and returns the fit so far, with a warning of
#' class `diglot_warning_interrupted`. A loss that becomes infinite or NaN is an error of class
#' `diglot_error_diverged`; the condition's `fit` is the best fit before, if there was one.
#'
#' @param x,formula A formula such as `digit ~ image`: the labels, and the one column of images;
#'   or a data frame with a column `image` (or one column only), an array, a list of matrices or
#'   a vector of file names, see below.
#' @param data A data frame with the variables of the formula.
#' @param y The labels, one for each image.
#' @param weights How much each image counts: a vector, or for a formula an expression in `data`.
#' @param ... Settings, see below.
#'
#' @return An object of class `image_classifier`. See [predict()][predict.image_classifier],
#'   [evaluate()][evaluate.image_classifier], [plot()][plot.image_classifier],
#'   [tidy()][tidy.image_classifier] and [fingerprint()] for what can be done with it, and
#'   [save_model()] to hand it to Python.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' train <- digits[1:500, ]
#' test <- digits[501:600, ]
#' fit <- image_classifier(label ~ image, data = train, network = "lenet", epochs = 2, seed = 1)
#' fit
#' predict(fit, test[1:3, ])
#' evaluate(fit, test)
image_classifier <- function(x, ...) {
  UseMethod("image_classifier")
}

#' @rdname image_classifier
#' @export
image_classifier.formula <- function(formula, data = NULL, weights = NULL, ...) {
  call <- called("image_classifier", match.call())
  given <- rlang::inject(training_data(formula, data, weights = !!substitute(weights), ...))
  fit_classifier(given, call)
}

#' @rdname image_classifier
#' @export
image_classifier.data.frame <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("image_classifier", match.call())
  fit_classifier(training_data(x, y, weights, ...), call)
}

#' @rdname image_classifier
#' @export
image_classifier.array <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("image_classifier", match.call())
  fit_classifier(training_data(x, y, weights, ...), call)
}

#' @rdname image_classifier
#' @export
image_classifier.default <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("image_classifier", match.call())
  fit_classifier(training_data(x, y, weights, ...), call)
}

# ---- what a user gave to train on

# All that trains takes the same: a formula and data, or x and y, then weights and settings, of
# which `known` names those that there are. In the answer, `labels` is what is to be learned,
# `names` are the names of images and labels in messages, `terms` what new data is read by.
training_data <- function(x, ...) {
  UseMethod("training_data")
}

training_data.formula <- function(formula, data = NULL, weights = NULL, ...,
                                  known = setting_names()) {
  call <- rlang::caller_env()
  parts <- formula_parts(formula, data, call)
  env <- environment(formula)
  images <- formula_value(parts$image, data, env, call = call)
  labels <- formula_value(parts$outcome, data, env, call = call)
  weights <- eval(substitute(weights), data, env)
  settings <- checked_settings(..., known = known, call = call)
  validation <- settings$validation
  if (is.data.frame(validation)) {
    settings$validation <- list(
      formula_value(parts$image, validation, env, "validation", call),
      formula_value(parts$outcome, validation, env, "validation", call)
    )
  }
  list(
    images = images, labels = labels, weights = weights, settings = settings,
    names = c(deparse1(parts$image), deparse1(parts$outcome)),
    terms = list(image = parts$image, outcome = parts$outcome)
  )
}

training_data.data.frame <- function(x, y = NULL, weights = NULL, ..., known = setting_names()) {
  call <- rlang::caller_env()
  column <- if ("image" %in% names(x)) "image" else names(x)[1L]
  list(
    images = image_column(x, call = call), labels = y, weights = weights,
    settings = checked_settings(..., known = known, call = call),
    names = c("x", "y"), terms = list(image = as.name(column))
  )
}

training_data.default <- function(x, y = NULL, weights = NULL, ..., known = setting_names()) {
  call <- rlang::caller_env()
  if (missing(x)) {
    abort_diglot(
      "There is nothing to train on: give a formula and data, or images and what to learn of them.",
      call = call
    )
  }
  list(
    images = x, labels = y, weights = weights,
    settings = checked_settings(..., known = known, call = call),
    names = c("x", "y"), terms = list()
  )
}

# ---- formulas

# The two sides of `label ~ image` or `caption ~ image`, as expressions.
formula_parts <- function(formula, data, call = rlang::caller_env()) {
  if (length(formula) != 3L) {
    abort_diglot(
      paste(
        "The formula must have two sides: what is to be learned ~ the images, such as",
        "`digit ~ image` or `caption ~ image`."
      ),
      call = call
    )
  }
  outcome <- formula[[2L]]
  image <- formula[[3L]]
  if (identical(image, quote(.))) {
    rest <- setdiff(names(data), all.vars(outcome))
    if (length(rest) != 1L) {
      abort_diglot(
        sprintf(
          "`.` must leave one column of images, but `data` has %s.",
          if (length(rest) == 0L) "no other" else quoted(rest)
        ),
        call = call
      )
    }
    image <- as.name(rest)
  }
  if (is.call(image) && identical(image[[1L]], quote(`+`))) {
    abort_diglot(
      sprintf(
        "The formula must have one column of images on its right, not `%s`.", deparse1(image)
      ),
      call = call
    )
  }
  list(outcome = outcome, image = image)
}

# A side's value. A plain name must be a column where there is a data frame.
formula_value <- function(expr, data, env, what = "data", call = rlang::caller_env()) {
  if (!is.null(data) && !is.data.frame(data) && !is.list(data)) {
    abort_diglot(
      sprintf("`%s` must be a data frame, not %s.", what, describe_class(data)),
      call = call
    )
  }
  if (is.name(expr) && !is.null(data) && !as.character(expr) %in% names(data)) {
    missing_column(as.character(expr), names(data), what, call)
  }
  tryCatch(eval(expr, data, env), error = function(error) {
    abort_diglot(
      sprintf("`%s` of the formula cannot be evaluated.", deparse1(expr)),
      call = call, parent = error
    )
  })
}

missing_column <- function(name, columns, what, call) {
  has <- if (length(columns) == 0L) "no columns" else quoted(columns, 10L)
  abort_diglot(
    sprintf(
      "`%s` has no column %s; it has %s.%s", what, quoted(name), has, did_you_mean(name, columns)
    ),
    call = call
  )
}

# ---- settings

# Only settings that the user gave are sent.
checked_settings <- function(..., known = setting_names(), call = rlang::caller_env()) {
  given <- list(...)
  if (length(given) == 0L) {
    return(list())
  }
  if (is.null(names(given)) || !all(nzchar(names(given)))) {
    abort_diglot("All settings must be named, such as `epochs = 10`.", call = call)
  }
  twice <- names(given)[duplicated(names(given))]
  if (length(twice) > 0L) {
    abort_diglot(sprintf("`%s` is given twice.", twice[1L]), call = call)
  }
  strange <- setdiff(names(given), known)
  if (length(strange) > 0L) {
    abort_diglot(
      sprintf(
        "There is no setting `%s`.%s", strange[1L], did_you_mean(strange[1L], known)
      ),
      call = call
    )
  }
  given
}

# The settings of a classifier and their defaults, the same as Python's (a test compares them).
setting_defaults <- function() {
  list(
    network = "lenet", size = NULL, channels = NULL, resize = NULL, family = "multinomial",
    covariates = NULL, contrasts = NULL, train = "all", layer_decay = 1, views = NULL, epochs = 10, batch_size = 64, optimizer = "sgd",
    learning_rate = NULL, momentum = 0.9, weight_decay = 1e-4, schedule = "cosine",
    warmup_epochs = 0, clip_norm = NULL, class_weight = NULL, label_smoothing = 0, mixup = 0,
    augment = NULL, validation = NULL, patience = NULL, monitor = "val_loss",
    restore_best = TRUE, callbacks = NULL, checkpoint = NULL, checkpoint_every = NULL,
    resume = NULL, device = "auto", memory_limit = NULL, threads = NULL, seed = NULL,
    verbose = "auto"
  )
}

setting_names <- function() names(setting_defaults())

# One integer from R's generator, the only thing that ever touches it.
draw_seed <- function() sample.int(.Machine$integer.max, 1L)

class_weight_payload <- function(weight, levels, call) {
  if (is.null(weight) || is.character(weight)) {
    return(weight)
  }
  if (!is.numeric(weight) || is.null(names(weight))) {
    abort_diglot(
      "`class_weight` must be \"balanced\" or numbers named by level, such as c(cat = 2, dog = 1).",
      call = call
    )
  }
  strange <- setdiff(names(weight), levels)
  if (length(strange) > 0L) {
    abort_diglot(
      sprintf(
        "`class_weight` names %s, which is no level; the levels are %s.",
        quoted(strange), quoted(levels, 10L)
      ),
      call = call
    )
  }
  as.list(weight)
}

# ---- the one bridge

# A method's call as the user wrote it: of the generic.
called <- function(generic, call) {
  call[[1L]] <- as.name(generic)
  call
}

# Trains, from scratch or, where there is an `earlier` fit, from its weights.
fit_classifier <- function(given, call, earlier = NULL, env = rlang::caller_env()) {
  sent <- training_payload(given, env)
  wrap <- function(answer) {
    new_fit(
      answer,
      call = call, terms = given$terms, ordered = sent$labels$ordered, images = sent$count
    )
  }
  args <- list(
    sent$images, sent$labels, sent$settings, sent$weights, sent$validation, sent$callback,
    sent$progress
  )
  name <- if (is.null(earlier)) "fit" else "fine_tune"
  first <- if (!is.null(earlier)) list(live_model(earlier, env))
  wrap(do.call(call_bridge, c(name, first, args, list(call = env, on_model = wrap))))
}

# What a user gave, checked, as the bridge takes it.
training_payload <- function(given, call) {
  settings <- given$settings
  count <- image_count(given$images)
  labels <- label_payload(given$labels, given$names[2L], call)
  check_lengths(count, length(labels$codes), call)
  levels <- unlist(labels$levels)

  validation <- validation_payload(settings$validation, levels, labels, call)
  settings$class_weight <- class_weight_payload(settings$class_weight, levels, call)
  c(
    list(
      images = image_payload(given$images, given$names[1L], call),
      labels = labels,
      count = count,
      weights = weight_payload(given$weights, count, call),
      validation = validation
    ),
    run_payload(settings, call)
  )
}

# What every fit sends beside its data: the settings without those that R sees to itself, the
# callback, and what hears of the progress.
run_payload <- function(settings, call) {
  verbose <- settings$verbose %||% getOption("diglot.verbose", "auto")
  check_verbose(verbose, call)
  callback <- callback_function(settings$callbacks, call)
  if (!is.numeric(settings$validation)) {
    settings$validation <- NULL # data, which goes its own way
  }
  # A fit that goes on from a checkpoint has the seed that is written there.
  resumes <- !is.null(settings$resume) && !isFALSE(settings$resume)
  if (!resumes) {
    settings$seed <- settings$seed %||% draw_seed()
  }
  settings$verbose <- settings$callbacks <- NULL
  list(
    settings = settings_payload(settings, call),
    callback = callback,
    progress = progress_function(verbose)
  )
}

validation_payload <- function(validation, levels, labels, call) {
  if (!has_validation_data(validation, call)) {
    return(NULL)
  }
  codes <- code_labels(validation[[2L]], levels, "validation", call)
  check_lengths(image_count(validation[[1L]]), length(codes), call)
  labels$codes <- codes
  list(image_payload(validation[[1L]], "validation", call), labels)
}

# Whether there is a pair of images and what to learn of them, and not a share or nothing.
has_validation_data <- function(validation, call) {
  if (is.null(validation) || (is.numeric(validation) && length(validation) == 1L)) {
    return(FALSE)
  }
  if (!is.list(validation) || is.data.frame(validation) || length(validation) != 2L) {
    abort_diglot(
      paste(
        "`validation` must be a share of the data such as 0.2, a data frame where a formula is",
        "given, or list(x, y)."
      ),
      call = call
    )
  }
  TRUE
}

settings_payload <- function(settings, call) {
  for (name in names(settings)) {
    value <- settings[[name]]
    if (is.atomic(value) && anyNA(value)) {
      # Python would see TRUE, or some number
      abort_diglot(sprintf("`%s` must not be NA; leave it out for its default.", name), call = call)
    }
  }
  for (name in intersect(c("checkpoint", "resume"), names(settings))) {
    if (is.character(settings[[name]])) {
      settings[[name]] <- enc2utf8(path.expand(settings[[name]]))
    }
  }
  lapply(settings, setting_payload, call = call)
}

# Counts become whole numbers, vectors become lists (a vector of length one would be a scalar).
setting_payload <- function(value, call = NULL) {
  if (inherits(value, "diglot_pretrained")) {
    return(live_network(value, call))
  }
  if (inherits(value, "diglot_network")) {
    return(list(name = value$name, settings = lapply(value$settings, setting_payload)))
  }
  if (is.list(value) && !is.object(value)) {
    return(lapply(value, setting_payload))
  }
  if (is.atomic(value) && length(value) > 1L) {
    return(lapply(as.list(value), whole))
  }
  whole(value)
}

# A fit of any kind is plain data: the model file's bytes, and an environment that caches the
# live model. `...` is what its kind has beside.
new_model <- function(answer, ..., call, terms, class) {
  about <- answer$description
  cache <- new.env(parent = emptyenv())
  cache$model <- answer$model
  structure(
    list(
      model = about$model,
      ...,
      history = table_from(about$history),
      seed = about$seed,
      device = about$device,
      network = about$network,
      lineage = unlist(about$lineage),
      certainty = unlist(about$certainty),
      settings = about$settings,
      fingerprint = about$fingerprint,
      versions = c(
        unlist(about$versions),
        R = as.character(getRversion())
      ),
      terms = terms,
      call = call,
      cache = cache
    ),
    class = c(class, "diglot_model")
  )
}

new_fit <- function(answer, call = NULL, terms = list(), ordered = FALSE, images = NA_integer_) {
  new_model(
    answer,
    levels = text_from(answer$description$levels), ordered = isTRUE(ordered), images = images,
    call = call, terms = terms, class = "image_classifier"
  )
}

#' Go on training a fitted classifier
#'
#' Trains on with more data, or the same, for more epochs. The fit that is given stays as it was.
#'
#' @param object A fit, see [image_classifier()].
#' @param data New data: a data frame with the columns of the fit's formula, or images of any
#'   kind that [image_classifier()] takes, with their labels in `y`.
#' @param y The labels, where `data` does not hold them. All must be levels of the fit.
#' @param epochs How many more epochs; by default one.
#' @param weights How much each image counts: a vector.
#' @param callbacks,verbose As in [image_classifier()].
#' @param ... Not used.
#' @return A fit; its history goes on from the one given.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:300, ], epochs = 1, seed = 1)
#' fit <- update(fit, digits[301:600, ], epochs = 1)
#' tidy(fit)
update.image_classifier <- function(object, data, y = NULL, epochs = NULL, weights = NULL,
                                    callbacks = NULL, verbose = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  verbose <- verbose %||% getOption("diglot.verbose", "auto")
  check_verbose(verbose, env)
  images <- newdata_images(object, data, "data", env)
  labels <- newdata_labels(object, data, y, "data", env)
  codes <- code_labels(labels, object$levels, "y", env)
  count <- image_count(images)
  check_lengths(count, length(codes), env)
  settings <- settings_payload(if (is.null(epochs)) list() else list(epochs = epochs), env)
  wrap <- function(answer) {
    new_fit(
      answer,
      call = object$call, terms = object$terms, ordered = object$ordered,
      images = object$images + count
    )
  }
  answer <- call_bridge(
    "update", object$model, image_payload(images, "data", env), codes, settings,
    weight_payload(weights, count, env), callback_function(callbacks, env),
    progress_function(verbose),
    call = env, on_model = wrap
  )
  wrap(answer)
}
