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
#' @section Covariates:
#' What else is known of an image can enter the last layer beside what the network sees in it:
#' `grade ~ image + age + sex`, or the argument `covariates` beside `x`: a data frame, or the names
#' of columns of `x`. In a formula the images are the term `image`, else the first one. Numbers and
#' factors enter by a model matrix, its columns standardised, with R's contrasts: those of
#' [contrasts()] and of `options("contrasts")`, or of the setting `contrasts`, a list as in [lm()].
#' Where there are main effects of plain columns only, the model can be asked in both languages by
#' these columns; interactions and expressions such as `log(age)` and `poly(age, 2)` are R's: the
#' model then takes the columns of R's model matrix. See [coef()][coef.image_classifier] and
#' [tidy()][tidy.image_classifier] for the coefficients. Missing values are errors.
#'
#' @section Families:
#' `family = "multinomial"` gives each class a score of its own. `"cumulative"` is the
#' proportional-odds model for ordered factors: one score an image moves it along the classes.
#' As in [glm()], a family can be a name, a function or an object. `gaussian`, `poisson` and
#' `"quantile"` hand over to [image_regressor()], `binomial` with several columns of zeros and ones
#' to [image_tagger()].
#'
#' @section Settings:
#' `...` takes the settings, which have the same names and defaults as in Python:
#' \describe{
#'   \item{`network = "lenet"`}{a name from [networks()], or what [network()] or [pretrained()]
#'     returns; or a fit, whose network and weights it begins with.}
#'   \item{`size = NULL`}{`c(height, width)`, or one number for both, to which images are brought;
#'     by default the size that all images have.}
#'   \item{`channels = NULL`}{1 for grey, 3 for colour; by default as the images are.}
#'   \item{`resize = NULL`}{`"squash"` or `"crop"`, which keeps the proportions and takes the
#'     centre; by default as the network's weights expect it, else `"squash"`.}
#'   \item{`family = "multinomial"`, `contrasts = NULL`}{see above.}
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
#'   \item{`device = "auto"`}{`"cpu"`, `"gpu"`, ..., see [devices()]. Several GPUs, such as
#'     `c("gpu:0", "gpu:1")`, train together, each on a part of every batch, whose own
#'     statistics its batch normalisation takes. A GPU that is named and not there is an error; one
#'     that a file names gives way to what is there, with a warning.}
#'   \item{`engine = "auto"`}{what computes: `"mxnet"`, or `"torch"`, PyTorch, which serves more
#'     devices. `"auto"` is MXNet where it has code for the device, else PyTorch where that is
#'     installed. Fits, files and checkpoints are the same for both.}
#'   \item{`precision = "auto"`}{with which numbers a processor scores: `"float32"`, or `"int8"`,
#'     integers of 8 bits, which are several times as fast for large networks. `"auto"` takes them
#'     where they agree with float32 for 99.5 % of some training images (256, where there are as
#'     many) and are faster on this machine. `"mixed"`, with PyTorch, trains and scores with
#'     floats of 16 bits in products and float32 in losses, norms and weights; activations and
#'     pooling take what comes. It is for GPUs with units for that: from NVIDIA those of compute
#'     capability 8.0 or more (bfloat16), and 7.0 to 7.5 (float16, with a scaled loss).}
#'   \item{`memory_limit = NULL`}{bytes of decoded images to keep in memory.}
#'   \item{`threads = NULL`}{that decode images; by default one for each core that may be used, at
#'     most 8. The network computes with one for each physical core, or as many as the environment
#'     variable `OMP_NUM_THREADS` says when it is first used.}
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
#' @param x,formula A formula such as `digit ~ image` or `grade ~ image + age + sex`: the labels,
#'   the column of images, and covariates; or a data frame with a column `image` (or one column
#'   only), an array, a list of matrices or a vector of file names, see below.
#' @param data A data frame with the variables of the formula. Small ones may be from elsewhere,
#'   such as a folder's name in `label ~ file.path(folder, name)`: their values go with the fit.
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
  known <- asked_settings("classifier", ...)
  given <- rlang::inject(
    training_data(formula, data, weights = !!substitute(weights), ..., known = known)
  )
  fit_predictor(given, call, "classifier")
}

#' @rdname image_classifier
#' @export
image_classifier.data.frame <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("image_classifier", match.call())
  given <- training_data(x, y, weights, ..., known = asked_settings("classifier", ...))
  fit_predictor(given, call, "classifier")
}

#' @rdname image_classifier
#' @export
image_classifier.array <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("image_classifier", match.call())
  given <- training_data(x, y, weights, ..., known = asked_settings("classifier", ...))
  fit_predictor(given, call, "classifier")
}

#' @rdname image_classifier
#' @export
image_classifier.default <- function(x, y = NULL, weights = NULL, ...) {
  call <- called("image_classifier", match.call())
  given <- training_data(x, y, weights, ..., known = asked_settings("classifier", ...))
  fit_predictor(given, call, "classifier")
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
  if (!is.null(settings$covariates)) {
    abort_diglot("Covariates are terms of the formula, such as `y ~ image + age`.", call = call)
  }
  beside <- formula_covariates(parts$covariates, data, env, settings$contrasts, "data", call)
  if (!is.null(beside$terms)) {
    settings$contrasts <- NULL # the columns are R's, by these contrasts already
  }
  validation <- settings$validation
  if (is.data.frame(validation)) {
    settings$validation <- list(
      formula_value(parts$image, validation, env, "validation", call),
      formula_value(parts$outcome, validation, env, "validation", call)
    )
  }
  with_covariates(
    list(
      images = images, labels = labels, weights = weights, settings = settings,
      names = c(deparse1(parts$image), deparse1(parts$outcome)),
      terms = c(
        list(image = parts$image, outcome = parts$outcome, covariates = beside$terms),
        formula_variables(parts[c("image", "outcome")], data, env, image_count(images))
      )
    ),
    beside$columns, validation, known, call
  )
}

training_data.data.frame <- function(x, y = NULL, weights = NULL, ..., known = setting_names()) {
  call <- rlang::caller_env()
  column <- if ("image" %in% names(x)) "image" else names(x)[1L]
  settings <- checked_settings(..., known = known, call = call)
  with_covariates(
    list(
      images = image_column(x, call = call), labels = y, weights = weights, settings = settings,
      names = c("x", "y"), terms = list(image = as.name(column))
    ),
    given_covariates(settings$covariates, x, "x", call), settings$validation[[1L]], known, call
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
  settings <- checked_settings(..., known = known, call = call)
  with_covariates(
    list(
      images = x, labels = y, weights = weights, settings = settings,
      names = c("x", "y"), terms = list()
    ),
    given_covariates(settings$covariates, x, "x", call), settings$validation[[1L]], known, call
  )
}

# Puts covariates beside the images, of `validation`, too, and says so in the settings.
with_covariates <- function(given, columns, validation, known, call) {
  if (!"covariates" %in% known) {
    if (length(columns) > 0L) {
      abort_diglot(
        sprintf("Only images are learned from here: leave %s out.", quoted(names(columns))),
        call = call
      )
    }
    return(given)
  }
  columns <- lapply(columns, used_levels)
  given$settings <- covariate_settings(given$settings, columns, call)
  given$images <- with_beside(given$images, columns, given$names[1L], call)
  if (length(columns) > 0L && is.list(given$settings$validation)) {
    fit <- list(covariates = names(columns), terms = given$terms)
    held <- given$settings$validation[[1L]]
    given$settings$validation[[1L]] <- with_beside(
      if (is.data.frame(held)) image_column(held, "validation", call) else held,
      newdata_covariates(fit, validation, "validation", call), "validation", call
    )
  }
  given
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

# The settings and their defaults, the same as Python's (a test compares them).
setting_defaults <- function(kind = "classifier") {
  shared <- list(
    network = "lenet", size = NULL, channels = NULL, resize = NULL, covariates = NULL,
    contrasts = NULL, train = "all", layer_decay = 1, views = NULL, epochs = 10, batch_size = 64,
    optimizer = "sgd", learning_rate = NULL, momentum = 0.9, weight_decay = 1e-4,
    schedule = "cosine", warmup_epochs = 0, clip_norm = NULL, mixup = 0, augment = NULL,
    validation = NULL, patience = NULL, monitor = "val_loss", restore_best = TRUE,
    callbacks = NULL, checkpoint = NULL, checkpoint_every = NULL, resume = NULL, device = "auto",
    engine = "auto", precision = "auto", memory_limit = NULL, threads = NULL, seed = NULL,
    verbose = "auto"
  )
  own <- switch(kind,
    classifier = list(family = "multinomial", class_weight = NULL, label_smoothing = 0),
    regressor = list(family = "gaussian", quantiles = 0.5),
    tagger = list(label_smoothing = 0)
  )
  c(shared, own)
}

setting_names <- function(kind = "classifier") names(setting_defaults(kind))

# The settings that may be given at a door: those of the kind that `family` asks for.
asked_settings <- function(kind, ..., family = NULL) {
  asked <- family_kind(family_name(family, rlang::caller_env()), kind)
  union(setting_names(asked), "family")
}

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
fit_predictor <- function(given, call, kind, earlier = NULL, env = rlang::caller_env()) {
  asked <- kind_and_settings(kind, given, env)
  if (!is.null(earlier) && asked$kind != kind) {
    abort_diglot(
      sprintf("The fit is of image_%s(), which does not learn such outcomes.", kind),
      call = env
    )
  }
  given$settings <- asked$settings
  sent <- training_payload(given, env, asked$kind)
  wrap <- function(answer) {
    new_fit(
      answer,
      call = call, terms = given$terms, ordered = sent$labels$ordered
    )
  }
  args <- list(
    sent$images, sent$labels, sent$settings, sent$weights, sent$validation, sent$callback,
    sent$progress
  )
  name <- if (is.null(earlier)) "fit" else "fine_tune"
  first <- if (!is.null(earlier)) list(live_model(earlier, env))
  last <- if (is.null(earlier)) list(asked$kind)
  wrap(do.call(call_bridge, c(name, first, args, last, list(call = env, on_model = wrap))))
}

# What a user gave, checked, as the bridge takes it; `labels` is what is to be learned.
training_payload <- function(given, call, kind = "classifier") {
  settings <- given$settings
  count <- image_count(given$images)
  labels <- outcome_payload(kind, given$labels, given$names[2L], call)
  check_lengths(count, outcome_count(labels), call, outcome_words[[kind]])
  levels <- unlist(labels$levels)

  validation <- validation_payload(settings$validation, kind, labels, call)
  if (kind == "classifier") {
    settings$class_weight <- class_weight_payload(settings$class_weight, levels, call)
  }
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

validation_payload <- function(validation, kind, outcome, call) {
  if (!has_validation_data(validation, call)) {
    return(NULL)
  }
  if (kind == "classifier") {
    codes <- code_labels(validation[[2L]], unlist(outcome$levels), "validation", call)
    outcome$codes <- codes
  } else {
    outcome <- outcome_payload(kind, validation[[2L]], "validation", call)
  }
  check_lengths(
    image_count(validation[[1L]]), outcome_count(outcome), call, outcome_words[[kind]]
  )
  list(image_payload(validation[[1L]], "validation", call), outcome)
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
  for (name in intersect(c("network", "encoder"), names(settings))) {
    check_network(settings[[name]], name, call)
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
  if (inherits(value, "diglot_dbn")) {
    return(deep_network(value, call = call))
  }
  if (inherits(value, "diglot_model")) {
    return(live_model(value, call)) # the bridge takes its network
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

# A fit can stand for its network: a captioner's is more than one, others have none.
check_network <- function(given, what, call) {
  having <- c("image_classifier", "image_regressor", "image_tagger", "diglot_dbn")
  if (inherits(given, "diglot_model") &&
        (!inherits(given, having) || inherits(given, "hog_classifier"))) {
    abort_diglot(
      sprintf(
        paste(
          "`%s` must be a network, or a fit of image_classifier(), image_regressor() or",
          "image_tagger(), whose network it takes; it is %s."
        ),
        what, describe_class(given)
      ),
      call = call
    )
  }
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
      engine = about$engine,
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

new_fit <- function(answer, call = NULL, terms = list(), ordered = FALSE) {
  about <- answer$description
  beside <- text_from(about$covariates)
  fit <- function(class, ...) {
    new_model(
      answer, ...,
      family = about$family, covariates = beside, images = about$images %||% NA_integer_,
      call = call, terms = terms, class = class
    )
  }
  switch(about$kind,
    regressor = fit("image_regressor", quantiles = as.numeric(unlist(about$quantiles))),
    tagger = fit(
      "image_tagger",
      tags = text_from(about$tags), thresholds = as.numeric(unlist(about$thresholds))
    ),
    fit("image_classifier", levels = text_from(about$levels), ordered = isTRUE(ordered))
  )
}

#' Go on training a fitted model
#'
#' Trains on with more data, or the same, for more epochs. The fit that is given stays as it was.
#'
#' @param object A fit, see [image_classifier()], [image_regressor()] and [image_tagger()].
#' @param data New data: a data frame with the columns of the fit's formula, or images of any
#'   kind that [image_classifier()] takes, with their labels in `y`.
#' @param y The labels, where `data` does not hold them. All must be levels of the fit.
#' @param epochs How many more epochs; by default one.
#' @param weights How much each image counts: a vector.
#' @param callbacks,verbose As in [image_classifier()].
#' @param augment Random changes to the images, as in [image_classifier()]; by default those of the
#'   fit. A function has to be given again, as a fit keeps only its name.
#' @param ... Not used.
#' @return A fit; its history goes on from the one given.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:300, ], epochs = 1, seed = 1)
#' fit <- update(fit, digits[301:600, ], epochs = 1)
#' tidy(fit)
update.image_classifier <- function(object, data, y = NULL, epochs = NULL, weights = NULL,
                                    callbacks = NULL, verbose = NULL, augment, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  verbose <- verbose %||% getOption("diglot.verbose", "auto")
  check_verbose(verbose, env)
  images <- newdata_images(object, data, "data", env)
  known <- known_outcome(object, newdata_labels(object, data, y, "data", env), "y", env)
  count <- image_count(images)
  check_lengths(count, known_count(known), env, outcome_words[[fit_kind(object)]])
  settings <- if (is.null(epochs)) list() else list(epochs = epochs)
  if (!missing(augment)) {
    settings["augment"] <- list(augment) # NULL, too
  }
  settings <- settings_payload(settings, env)
  refitted(
    object, "update", image_payload(images, "data", env), known, settings,
    weight_payload(weights, count, env), callback_function(callbacks, env),
    progress_function(verbose),
    call = env
  )
}

#' @rdname update.image_classifier
#' @export
update.image_regressor <- update.image_classifier

#' @rdname update.image_classifier
#' @export
update.image_tagger <- update.image_classifier
