# Tests of what needs Python say why they are skipped; where Python is expected to be there, as in
# continuous integration, a skip is a failure.
skip_if_no_diglot <- function() {
  if (diglot_available()) {
    return(invisible())
  }
  setup <- check_setup()
  reason <- paste0(
    "diglot's Python side is not there: ",
    paste(setup$requirement[!setup$ok & !setup$optional], collapse = ", ")
  )
  expected <- c(Sys.getenv("CI"), Sys.getenv("DIGLOT_EXPECT_PYTHON"))
  if (all(tolower(expected) == "true")) {
    stop(reason)
  }
  skip(reason)
}

# Pictures that no transpose, flip or mix-up of channels leaves as they are: class "two" has a
# bright pixel right of the top left corner, "ten" one further down, amid noise that repeats.
# "two" sorts after "ten", so that the order of levels shows.
planted <- function(n = 40L, height = 16L, width = 18L, type = c("integer", "double", "raw")) {
  type <- match.arg(type)
  noise <- (seq_len(n * height * width) * 7919) %% 60
  image <- array(as.integer(noise), c(n, height, width))
  label <- factor(rep(c("two", "ten"), length.out = n), levels = c("two", "ten"))
  image[label == "two", 2:4, 9:13] <- 250L
  image[label == "ten", 9:13, 2:4] <- 250L
  image <- switch(type,
    integer = image,
    double = image / 255,
    raw = array(as.raw(image), dim(image))
  )
  list(image = image, label = label)
}

as_list_of_images <- function(image) {
  lapply(seq_len(nrow(image)), function(i) {
    if (length(dim(image)) == 3L) image[i, , ] else image[i, , , ]
  })
}

planted_tibble <- function(...) {
  data <- planted(...)
  tibble::tibble(image = as_list_of_images(data$image), label = data$label)
}

# One small fit that many tests look at.
shared <- new.env()
small_fit <- function() {
  skip_if_no_diglot()
  if (is.null(shared$fit)) {
    shared$fit <- image_classifier(
      label ~ image, planted_tibble(),
      network = "mlp", epochs = 3, batch_size = 8, seed = 1, validation = 0.2
    )
  }
  shared$fit
}

# One with convolutions, which sees where things are.
seeing_fit <- function() {
  skip_if_no_diglot()
  if (is.null(shared$seeing)) {
    shared$seeing <- image_classifier(
      label ~ image, planted_tibble(80L),
      network = network("convnet", widths = c(8, 16), classes = 2, size = c(16, 18), channels = 1),
      epochs = 6, batch_size = 8, seed = 1
    )
  }
  shared$seeing
}

# What a fit looks like from outside, without Python.
fake_fit <- function(levels = c("two", "ten"), ordered = FALSE, val = TRUE, epochs = 3L) {
  history <- tibble::tibble(
    epoch = seq_len(epochs), loss = 1 / seq_len(epochs), accuracy = 1 - 0.5^seq_len(epochs)
  )
  if (val) {
    history$val_loss <- 1.1 * history$loss
    history$val_accuracy <- 0.9 * history$accuracy
  }
  history$learning_rate <- 0.1
  history$seconds <- 2
  history$images_per_second <- 1000
  structure(
    list(
      model = as.raw(1:3), levels = levels, ordered = ordered, history = history, seed = 1L,
      device = "cpu",
      network = list(
        name = "lenet", parameters = 431080L, height = 28L, width = 28L, channels = 1L
      ),
      settings = list(epochs = epochs), fingerprint = strrep("0f", 32L), images = 40L,
      versions = c(diglot = "0.1.0"), terms = list(image = quote(image), outcome = quote(label)),
      call = quote(image_classifier(label ~ image, data)), cache = new.env()
    ),
    class = c("image_classifier", "diglot_model")
  )
}

# Labels that the images only half tell: then there is something to be sure of, or not.
noisy <- function(n = 60L) {
  data <- planted_tibble(n)
  wrong <- seq_len(n) %% 4L == 0L
  data$label[wrong] <- rev(levels(data$label))[as.integer(data$label[wrong])]
  data
}

# Numbers that the images half tell.
measured <- function(n = 60L) {
  data <- planted_tibble(n)
  data$size <- 3 * (data$label == "ten") + sin(seq_len(n) * 12.9898)
  data["label"] <- NULL
  data
}

conformalized_fit <- function() {
  fit <- small_fit()
  if (is.null(shared$conformalized)) {
    shared$conformalized <- conformalize(fit, noisy(), allow_empty = TRUE)
  }
  shared$conformalized
}

# Runs Python code in a process of its own, with the same Python and the same core; returns what
# it wrote. R's library path would make that Python load another libpython.
python_says <- function(code) {
  file <- withr::local_tempfile(fileext = ".py")
  writeLines(code, file)
  withr::local_envvar(
    LD_LIBRARY_PATH = NA, PYTHONPATH = system.file("python", package = "diglot"), PYTHONHOME = NA
  )
  output <- system2(reticulate::py_config()$python, shQuote(file), stdout = TRUE, stderr = TRUE)
  if (!is.null(attr(output, "status"))) {
    stop(paste(output, collapse = "\n"))
  }
  output
}

# Weights as they come from elsewhere: a small residual network for colour images, with random
# values and random statistics, written by Python. It is adapted to grey images when it is loaded.
shared_weights <- function(folder = withr::local_tempdir(.local_envir = parent.frame())) {
  if (is.null(shared$weights)) {
    file <- withr::local_tempfile(fileext = ".safetensors")
    python_says(c(
      "import numpy as np, safetensors.numpy",
      "from diglot import network",
      "net = network('resnet20', classes=5, depth=1, widths=(4, 6, 8))",
      "draw = np.random.default_rng(1)",
      "weights = {n: draw.normal(0.1, 0.3, p.shape) for n, p in net.parameters.items()}",
      "weights = {n: abs(w) + 0.5 if n.endswith('var') else w for n, w in weights.items()}",
      "weights = {n: w.astype('float32') for n, w in weights.items()}",
      sprintf("safetensors.numpy.save_file(weights, r'%s')", file)
    ))
    shared$weights <- readBin(file, "raw", file.size(file))
  }
  file <- file.path(folder, "weights.safetensors")
  writeBin(shared$weights, file)
  file
}

small_network <- function(weights, ..., size = c(16, 18), channels = 1) {
  pretrained(
    "resnet20", weights,
    size = size, channels = channels, mean = rep(0.4, 3), std = rep(0.2, 3),
    depth = 1, widths = c(4, 6, 8), ...
  )
}

weights_of_lenet <- function() {
  fit <- image_classifier(label ~ image, planted_tibble(), size = 28, epochs = 1, seed = 1)
  file <- withr::local_tempfile(fileext = ".safetensors", .local_envir = parent.frame())
  save_model(fit, file)
}

tune <- function(object, ..., epochs = 2, seed = 1) {
  fine_tune(
    object, label ~ image, planted_tibble(), ...,
    epochs = epochs, batch_size = 8, seed = seed
  )
}

# Captions of drawn shapes: small and quick.
caption_settings <- list(hidden = 32, embedding = 16, epochs = 1, batch_size = 16, seed = 1)
train_captions <- function(...) do.call(image_captioner, c(list(...), caption_settings))

drawn <- function(n = 48L, seed = 1, ...) shapes(n, seed = seed, size = 32, ...)

small_captioner <- function() {
  skip_if_no_diglot()
  if (is.null(shared$captioner)) {
    shared$captioner <- train_captions(captions ~ image, data = drawn(), validation = 0.2)
  }
  shared$captioner
}

# What a captioner looks like from outside, without Python.
fake_captioner <- function(heads = 4L) {
  fit <- fake_fit()
  fit$history <- tibble::tibble(
    epoch = 1:2, loss = c(3, NaN), val_loss = c(2, 1), val_cider_d = c(0.1, 0.5),
    reward = c(NaN, 0.4), learning_rate = 0.1, seconds = 2, images_per_second = 100
  )
  fit$words <- c("a", "circle")
  fit$longest <- 12L
  fit$decoder <- list(cell = "gru", layers = 2L, hidden = 32L, heads = heads)
  fit$captions <- 1200L
  fit$rows <- 400L
  fit$terms <- list(image = quote(image), outcome = quote(caption))
  class(fit) <- c("diglot_captioner", "diglot_model")
  fit
}

# What asks the second engine to compute. Where set-up has installed PyTorch, it must be there.
skip_if_no_torch <- function() {
  skip_if_no_diglot()
  there <- grepl("torch", devices()$engine[1L])
  if (!there && identical(Sys.getenv("DIGLOT_EXPECT_TORCH"), "true")) {
    stop("DIGLOT_EXPECT_TORCH is set, but PyTorch is not installed")
  }
  skip_if_not(there, "PyTorch is not installed")
}

on_engine <- function(engine, ...) {
  image_classifier(
    label ~ image, planted_tibble(),
    network = "mlp", epochs = 3, batch_size = 8, seed = 1, engine = engine, ...
  )
}

# The pictures of planted(), each in a PNG file of its own.
planted_files <- function(n = 12L, env = parent.frame()) {
  skip_if_not_installed("png")
  folder <- withr::local_tempdir(.local_envir = env)
  data <- planted(n)
  files <- file.path(folder, sprintf("%02d.png", seq_len(n)))
  for (i in seq_len(n)) {
    png::writePNG(data$image[i, , ] / 255, files[i])
  }
  tibble::tibble(image = files, label = data$label)
}
