# The R half of the demo (see tools/demo.py): the same training on the same images.
suppressPackageStartupMessages(library(diglot))

digits <- example_images("digits")
test <- seq_len(nrow(digits)) %% 5 == 1

started <- proc.time()[["elapsed"]]
fit <- image_classifier(
  label ~ image,
  data = digits[!test, ], network = "lenet", epochs = 10, seed = 1
)
seconds <- proc.time()[["elapsed"]] - started

save_model(fit, file.path("demo", "digits-r.safetensors"))
correct <- mean(predict(fit, digits[test, ])$.pred_class == digits$label[test])
cat(sprintf("  %.1f s, %.2f %% of the test images right\n", seconds, 100 * correct))
writeLines(fingerprint(fit), file.path("demo", "fingerprint-r.txt"))
