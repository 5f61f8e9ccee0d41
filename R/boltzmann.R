# Boltzmann machines and deep belief networks: images without labels.

#' Learn the distribution of images by Boltzmann machines
#'
#' `rbm()` trains a restricted Boltzmann machine: hidden units, each on or off, that explain the
#' pixels of images, without labels. `dbn()` trains several, one upon the other: a deep belief
#' network, whose weights are where a classifier can begin, see [fine_tune()]; then few labels may
#' do.
#'
#' A machine is trained by contrastive divergence: its weights move so that images become more
#' probable, and what the machine dreams beside them by Gibbs sampling less so.
#'
#' @section Settings:
#' `...` takes the settings, which have the same names and defaults as in Python:
#' \describe{
#'   \item{`visible = "binary"`}{what pixels are: numbers from 0 to 1, taken as probabilities of
#'     being on (integers and raws are scaled to that); or `"gaussian"`, any numbers.}
#'   \item{`k = 1`, `persistent = FALSE`}{steps of Gibbs sampling for an update, and whether it goes
#'     on where it ended before (Tieleman 2008) or anew from the images (Hinton 2002).}
#'   \item{`size = NULL`, `channels = NULL`, `resize = NULL`}{as in [image_classifier()].}
#'   \item{`epochs = 10`, `batch_size = 32`}{passes through the images, and images in a step; of
#'     each layer.}
#'   \item{`optimizer = "sgd"`, `learning_rate = NULL`, `momentum = 0.5`, `weight_decay = 1e-4`,
#'     `schedule = "constant"`, `warmup_epochs = 0`, `clip_norm = NULL`}{as in
#'     [image_classifier()]; the rate is 0.1 by default, 0.005 with Gaussian pixels, 0.001 for
#'     Adam.}
#'   \item{`validation = NULL`}{the share of the images to hold out; they tell how the machine
#'     overfits.}
#'   \item{`callbacks = NULL`, `checkpoint = NULL`, `checkpoint_every = NULL`, `resume = NULL`,
#'     `device = "auto"`, `engine = "auto"`, `memory_limit = NULL`, `threads = NULL`, `seed = NULL`,
#'     `verbose = "auto"`}{as in [image_classifier()].}
#' }
#'
#' @param x Images: a data frame with a column `image` (or one column only), an array (image,
#'   height, width) or (image, height, width, channel), a matrix with one flattened image a row, a
#'   list of matrices or a vector of file names.
#' @param n_hidden How many hidden units.
#' @param widths How many hidden units each layer has, the lowest first.
#' @param ... Settings, see below.
#' @return An object of class `diglot_rbm` or `diglot_dbn`. See [predict()][predict.diglot_rbm],
#'   [simulate()][simulate.diglot_rbm], [plot()][plot.diglot_rbm], [tidy()][tidy.diglot_rbm],
#'   [fine_tune()] for what can be done with it, and [save_model()] to hand it to Python.
#' @references
#' G. Hinton: Training products of experts by minimizing contrastive divergence, 2002,
#' \doi{10.1162/089976602760128018}. T. Tieleman: Training restricted Boltzmann machines using
#' approximations to the likelihood gradient, 2008, \doi{10.1145/1390156.1390290}. G. Hinton,
#' S. Osindero, Y. Teh: A fast learning algorithm for deep belief nets, 2006,
#' \doi{10.1162/neco.2006.18.7.1527}.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$image <- lapply(digits$image, function(image) image / 16)
#' machine <- rbm(digits["image"], n_hidden = 25, epochs = 5, seed = 1)
#' machine
#' predict(machine, digits[1:3, ])
#'
#' deep <- dbn(digits["image"], widths = c(50, 25), epochs = 2, seed = 1)
#' fit <- fine_tune(deep, label ~ image, digits[1:200, ], epochs = 2, seed = 1)
rbm <- function(x, n_hidden = 256, ...) {
  call <- called("rbm", match.call())
  settings <- checked_settings(n_hidden = n_hidden, ..., known = names(machine_defaults("rbm")))
  fit_machine("rbm", x, settings, call)
}

#' @rdname rbm
#' @export
dbn <- function(x, widths = c(500, 250), ...) {
  call <- called("dbn", match.call())
  settings <- checked_settings(widths = widths, ..., known = names(machine_defaults("dbn")))
  fit_machine("dbn", x, settings, call)
}

# The settings and their defaults, the same as Python's (a test compares them).
machine_defaults <- function(kind) {
  c(
    switch(kind,
      rbm = list(n_hidden = 256),
      dbn = list(widths = c(500, 250))
    ),
    list(
      visible = "binary", k = 1, persistent = FALSE, size = NULL, channels = NULL, resize = NULL,
      epochs = 10, batch_size = 32, optimizer = "sgd", learning_rate = NULL, momentum = 0.5,
      weight_decay = 1e-4, schedule = "constant", warmup_epochs = 0, clip_norm = NULL,
      validation = NULL, callbacks = NULL, checkpoint = NULL, checkpoint_every = NULL,
      resume = NULL, device = "auto", engine = "auto", memory_limit = NULL, threads = NULL,
      seed = NULL, verbose = "auto"
    )
  )
}

fit_machine <- function(kind, x, settings, call, env = rlang::caller_env()) {
  if (!is.null(settings$validation)) {
    check_number(settings$validation, "validation", env, "number")
  }
  column <- if (is.data.frame(x) && !"image" %in% names(x)) names(x)[1L] else "image"
  terms <- if (is.data.frame(x)) list(image = as.name(column)) else list()
  run <- run_payload(settings, env)
  wrap <- function(answer) new_machine(answer, call = call, terms = terms)
  wrap(call_bridge(
    "fit_machine", kind, image_payload(x, "x", env), run$settings, run$callback, run$progress,
    call = env, on_model = wrap
  ))
}

new_machine <- function(answer, call = NULL, terms = list()) {
  about <- answer$description
  fit <- new_model(
    answer,
    visible = about$visible, pixels = about$pixels, widths = as.integer(unlist(about$widths)),
    images = about$images, call = call, terms = terms, class = paste0("diglot_", about$kind)
  )
  if (about$kind == "dbn") {
    fit$history$layer <- factor(fit$history$layer, seq_along(fit$widths))
  }
  fit
}

fit_words.diglot_rbm <- function(x) {
  deep <- inherits(x, "diglot_dbn")
  size <- sprintf("%d x %d x %d", x$network$height, x$network$width, x$network$channels)
  list(
    title = if (deep) "Deep belief network" else "Restricted Boltzmann machine",
    model = c(
      line("pixels", sprintf("%s, %s (%s)", counted(x$pixels), x$visible, size)),
      line(if (deep) "layers" else "hidden", paste(x$widths, collapse = " - ")),
      line("parameters", counted(x$network$parameters))
    ),
    data = line("images", counted(x$images))
  )
}

fit_words.diglot_dbn <- fit_words.diglot_rbm

# ---- answers

#' What a Boltzmann machine says of images
#'
#' @param object A fit, see [rbm()] and [dbn()].
#' @param newdata Images, as [rbm()] takes them.
#' @param type `"hidden"` for the probability that each hidden unit is on: features of the image, of
#'   the highest layer; `"image"` for the pixels that these probabilities stand for; `"score"` for
#'   how well the machine knows the image. For `dbn()` only the first.
#' @param ... Not used.
#' @return A tibble with one row an image, in their order. For `"hidden"` columns `.h1`, `.h2`, ...;
#'   for `"image"` the column `.pred_image`, a list of matrices or arrays in the units of the images
#'   (from 0 to 1 where they were integers); for `"score"` the columns `.free_energy`, which is
#'   -log(probability) but for a constant that is not known, and `.log_pseudo_likelihood` (Besag
#'   1975), exact over all pixels; missing for Gaussian pixels.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$image <- lapply(digits$image, function(image) image / 16)
#' machine <- rbm(digits["image"], n_hidden = 25, epochs = 2, seed = 1)
#' predict(machine, digits[1:3, ])
#' predict(machine, digits[1:3, ], type = "score")
predict.diglot_rbm <- function(object, newdata, type = c("hidden", "image", "score"), ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  deep <- inherits(object, "diglot_dbn")
  type <- check_type(type, if (deep) "hidden" else c("hidden", "image", "score"), env)
  check_newdata(missing(newdata), env, "see")
  images <- newdata_images(object, newdata, "newdata", env)
  if (image_count(images) == 0L) {
    return(machine_columns(type, object))
  }
  name <- switch(type,
    hidden = "machine_hidden",
    image = "machine_reconstructions",
    score = "machine_scores"
  )
  payload <- image_payload(images, "newdata", env)
  machine_columns(type, object, call_bridge(name, live_model(object, env), payload, call = env))
}

#' @rdname predict.diglot_rbm
#' @export
predict.diglot_dbn <- predict.diglot_rbm

# What Python answered as columns; without an answer those of no images.
machine_columns <- function(type, object, answer = NULL) {
  none <- is.null(answer)
  switch(type,
    hidden = {
      count <- object$widths[length(object$widths)]
      hidden <- if (none) matrix(numeric(), 0L, count) else answer
      colnames(hidden) <- paste0(".h", seq_len(count))
      tibble::as_tibble(hidden)
    },
    image = tibble::tibble(.pred_image = if (none) list() else split_images(answer)),
    score = tibble::tibble(
      .free_energy = as.double(answer$free_energy),
      .log_pseudo_likelihood = if (object$visible == "binary") {
        as.double(answer$pseudo_likelihood)
      } else {
        rep(NA_real_, length(answer$free_energy))
      }
    )
  )
}

#' Let a Boltzmann machine dream
#'
#' Draws images from the distribution that a machine has learned, by Gibbs sampling.
#'
#' @param object A fit, see [rbm()].
#' @param nsim How many images.
#' @param seed Of the draws; by default one drawn by R, so that [set.seed()] works.
#' @param steps How often hidden units and pixels are drawn. After few steps images are still much
#'   like those that sampling began with.
#' @param from Images to begin with, instead of pure chance; then there are as many as of these.
#' @param ... Not used.
#' @return A tibble with the column `image`, a list of matrices or arrays. From chance they are the
#'   pixels' means in the last step; from images, the pixels drawn.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$image <- lapply(digits$image, function(image) image / 16)
#' machine <- rbm(digits["image"], n_hidden = 25, epochs = 2, seed = 1)
#' simulate(machine, 2, seed = 1, steps = 100)
simulate.diglot_rbm <- function(object, nsim = 1, seed = NULL, steps = 1000, from = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  check_number(nsim, "nsim", env)
  check_number(steps, "steps", env)
  if (!is.null(seed)) {
    check_number(seed, "seed", env)
  }
  images <- if (!is.null(from)) newdata_images(object, from, "from", env)
  if (!is.null(images) && image_count(images) == 0L) {
    return(tibble::tibble(image = list()))
  }
  payload <- if (!is.null(images)) image_payload(images, "from", env)
  answer <- call_bridge(
    "machine_samples", live_model(object, env), whole(nsim), whole(steps),
    whole(seed %||% draw_seed()), payload,
    call = env
  )
  tibble::tibble(image = split_images(answer))
}

# ---- tables and plots

#' Tidy tables of a Boltzmann machine
#'
#' @param x A fit, see [rbm()] and [dbn()].
#' @param ... Not used.
#' @return A tibble. `tidy()`: one row an epoch, for [dbn()] of each `layer`: `epoch`, `loss` (the
#'   mean free energy of images less that of dreams: its gradient is the update, but its value is no
#'   measure of progress), `reconstruction_error` (mean square a pixel); with validation images
#'   `val_reconstruction_error`, `free_energy_gap` (of images held out over those learned from,
#'   which grows as the machine overfits) and for binary pixels `val_pseudo_likelihood`;
#'   `learning_rate`, `seconds` and `images_per_second`. `glance()`: one row on the whole fit.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$image <- lapply(digits$image, function(image) image / 16)
#' machine <- rbm(digits["image"], n_hidden = 25, epochs = 2, seed = 1)
#' tidy(machine)
#' glance(machine)
tidy.diglot_rbm <- function(x, ...) {
  rlang::check_dots_empty()
  x$history
}

#' @rdname tidy.diglot_rbm
#' @export
tidy.diglot_dbn <- tidy.diglot_rbm

#' @rdname tidy.diglot_rbm
#' @export
glance.diglot_rbm <- function(x, ...) {
  rlang::check_dots_empty()
  glance_row(
    x,
    visible = x$visible, pixels = x$pixels, hidden = sum(x$widths), layers = length(x$widths),
    parameters = x$network$parameters, images = x$images
  )
}

#' @rdname tidy.diglot_rbm
#' @export
glance.diglot_dbn <- glance.diglot_rbm

#' Plot a Boltzmann machine: its filters, its training
#'
#' @name plot.diglot_rbm
#'
#' @param x,object A fit, see [rbm()] and [dbn()].
#' @param type `"filters"`: the weights between the pixels and each hidden unit as an image, grey
#'   for none, white where light pixels speak for the unit and black where they speak against it;
#'   of the lowest layer. `"history"`: the training, by epoch, those of the layers one after the
#'   other.
#' @param n How many filters to draw at most: those with the largest weights.
#' @param columns How many there are side by side.
#' @param ... For `plot()`: passed on to `autoplot()`. Otherwise not used.
#' @return `autoplot()`: a ggplot. `plot()`: the fit, invisibly.
#' @exportS3Method ggplot2::autoplot
#' @examplesIf diglot_available() && requireNamespace("ggplot2", quietly = TRUE)
#' digits <- example_images("digits")
#' digits$image <- lapply(digits$image, function(image) image / 16)
#' machine <- rbm(digits["image"], n_hidden = 25, epochs = 10, seed = 1)
#' plot(machine)
autoplot.diglot_rbm <- function(object, type = c("filters", "history"), n = 64, columns = NULL,
                                ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  rlang::check_installed("ggplot2", "to draw this plot.")
  if (check_type(type, c("filters", "history"), env) == "history") {
    history <- object$history
    history$epoch <- seq_len(nrow(history))
    return(history_plot(history))
  }
  check_number(n, "n", env)
  filters <- split_images(call_bridge("machine_filters", live_model(object, env), call = env))
  size <- vapply(filters, function(filter) sqrt(sum(filter^2)), 0)
  shown <- utils::head(order(-size), n)
  if (length(shown) == 0L) {
    abort_diglot("There is nothing to draw: `n` is 0.", call = env)
  }
  columns <- columns %||% ceiling(sqrt(1.5 * length(shown)))
  pictures <- lapply(filters[shown], filter_picture)
  panels_of_pictures(pictures, rep("", length(shown)), columns, interpolate = FALSE) +
    ggplot2::theme(strip.text = ggplot2::element_blank())
}

#' @rdname plot.diglot_rbm
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_dbn <- autoplot.diglot_rbm

#' @rdname plot.diglot_rbm
#' @export
plot.diglot_rbm <- function(x, ...) plot_table(x, ...)

#' @rdname plot.diglot_rbm
#' @export
plot.diglot_dbn <- plot.diglot_rbm

# Weights as an image (height, width, 3) from 0 to 1, half for none.
filter_picture <- function(filter) {
  largest <- max(abs(filter))
  shades <- 0.5 + filter / (2 * (if (largest > 0) largest else 1))
  channels <- if (length(dim(filter)) == 3L) dim(filter)[3L] else 1L
  shades <- array(shades, c(dim(filter)[1:2], channels))
  shades[, , if (channels >= 3L) 1:3 else c(1L, 1L, 1L), drop = FALSE]
}

# ---- a network to begin with

#' @rdname fine_tune
#' @export
fine_tune.diglot_dbn <- function(object, ...) {
  call <- called("fine_tune", match.call())
  given <- training_data(..., known = asked_settings("classifier", ...))
  refuse_network(given$settings, rlang::current_env())
  given$settings$network <- object
  given$settings$train <- given$settings$train %||% "head_then_all"
  fit_predictor(given, call, "classifier")
}

# The live network that begins with the weights; a fit of other classes makes its own head.
deep_network <- function(fit, classes = 10, call = rlang::caller_env()) {
  call_bridge("deep_network", live_model(fit, call), whole(classes), call = call)
}
