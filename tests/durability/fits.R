# Fits that are killed: `fits.R KIND FOLDER [PLACE NUMBER]` prints what it ended in; places as in
# fits.py, which is asked to end this process, too.
library(diglot)
given <- commandArgs(trailingOnly = TRUE)

pixels <- (seq_len(40 * 12 * 10 * 3) * 7919) %% 256
images <- array(as.integer(pixels), c(40, 12, 10, 3))
frame <- tibble::tibble(
  image = lapply(seq_len(40), function(i) images[i, , , ]),
  label = factor(rep(c("ant", "bee"), 20)),
  captions = rep(list(c("red left of blue", "a red one"), c("blue above red", "blue")), 20)
)
fits <- list(
  classifier = function(folder) {
    image_classifier(
      label ~ image, frame,
      network = "mlp", epochs = 25, batch_size = 8, seed = 3, validation = 0.25,
      checkpoint = folder, checkpoint_every = 1, resume = TRUE
    )
  },
  tuned = function(folder) {
    first <- image_classifier(
      label ~ image, frame,
      network = "convnet", epochs = 1, batch_size = 8, seed = 1
    )
    fine_tune(
      first, label ~ image, frame,
      train = "head_then_all", epochs = c(10, 12), batch_size = 8, seed = 3, validation = 0.25,
      checkpoint = folder, checkpoint_every = 1, resume = TRUE
    )
  },
  captioner = function(folder) {
    image_captioner(
      captions ~ image, frame,
      encoder = "convnet", epochs = 10, hidden = 8, embedding = 6, heads = 2, batch_size = 8,
      seed = 3, validation = 0.25, checkpoint = folder, checkpoint_every = 1, resume = TRUE
    )
  }
)
invisible(devices())
if (length(given) > 2L) {
  here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)))
  reticulate::import_from_path("fits", path = here)$die_at(given[3], as.integer(given[4]))
}
cat("begin\n")
flush(stdout())
fit <- fits[[given[1]]](given[2])
history <- fit$history[setdiff(names(fit$history), c("seconds", "images_per_second"))]
cat(fingerprint(fit), format(unlist(history), digits = 17), "\n")
