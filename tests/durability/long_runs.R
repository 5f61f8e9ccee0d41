# What a process does for long: `long_runs.R WHAT ROUNDS ...` prints memory, files and threads after
# each tenth of the rounds, of one thing after the other.
library(diglot)
given <- commandArgs(trailingOnly = TRUE)
parts <- 10L

measured <- function() {
  gc(full = TRUE)
  reticulate::py_run_string("import gc, ctypes; gc.collect()")
  reticulate::py_run_string("ctypes.CDLL('libc.so.6').malloc_trim(0)")
  pages <- as.numeric(strsplit(readLines("/proc/self/statm"), " ")[[1L]][2L])
  cat(
    format(pages * 4096, scientific = FALSE), length(list.files("/proc/self/fd")),
    length(list.files("/proc/self/task")), "\n"
  )
}
pixels <- (seq_len(32 * 12 * 12) * 7919) %% 256
images <- array(as.integer(pixels), c(32, 12, 12))
frame <- tibble::tibble(
  image = lapply(seq_len(32), function(i) images[i, , ]), label = factor(rep(c("a", "b"), 16))
)
train <- function(epochs = 2) {
  image_classifier(label ~ image, frame, network = "lenet", size = 16, epochs = epochs, seed = 1)
}
runs <- list(
  predictions = function(rounds) {
    fit <- train()
    for (part in seq_len(parts)) {
      for (number in seq_len(rounds %/% parts)) predict(fit, frame[seq_len(1 + number %% 7), ])
      measured()
    }
  },
  files = function(rounds) {
    fit <- train()
    file <- tempfile(fileext = ".safetensors")
    for (part in seq_len(parts)) {
      for (number in seq_len(rounds %/% parts)) {
        save_model(fit, file)
        fit <- load_model(file)
        predict(fit, frame[1:2, ])
      }
      measured()
    }
  },
  fits = function(rounds) {
    for (part in seq_len(parts)) {
      for (number in seq_len(rounds %/% parts)) predict(train(), frame[1:2, ])
      measured()
    }
  },
  epochs = function(rounds) {
    part <- rounds %/% parts
    at_end <- function(record) if (record$epoch %% part == 0) measured()
    image_classifier(
      label ~ image, frame,
      network = "lenet", size = 16, epochs = part * parts, seed = 1, callbacks = at_end
    )
  }
)
for (at in seq(1L, length(given), 2L)) runs[[given[at]]](as.integer(given[at + 1L]))
