# Draws the picture of README.md: how training went, and what came out. Run it by `make figures`.
suppressPackageStartupMessages(library(diglot))

digits <- example_images("digits")
test <- seq_len(nrow(digits)) %% 5 == 1
fit <- image_classifier(
  label ~ image,
  data = digits[!test, ], network = "lenet", epochs = 10, validation = 0.2, seed = 1
)
truth <- digits$label[test]
images <- digits$image[test]
scores <- predict(fit, digits[test, ], type = "prob")
predicted <- predict(fit, digits[test, ])$.pred_class
# The hardest first: those that it got wrong, then those that it got right with the least certainty.
certainty <- as.matrix(scores)[cbind(seq_along(truth), match(truth, fit$levels))]
hardest <- order(certainty)[1:24]

blue <- "#0072B2"
vermilion <- "#D55E00"
dir.create(file.path("man", "figures"), recursive = TRUE, showWarnings = FALSE)
png(file.path("man", "figures", "digits.png"), 1600, 560, res = 150)
layout(matrix(c(rep(1, 12), rep(2, 12), seq(3, 26)), 4), widths = c(rep(1.1, 6), rep(0.75, 6)))

curve <- function(measure, title) {
  par(mar = c(4, 2.5, 3, 1), mgp = c(2.2, 0.6, 0), las = 1, bty = "n")
  history <- fit$history
  val <- history[[paste0("val_", measure)]]
  values <- c(history[[measure]], val)
  plot(history$epoch, history[[measure]],
    type = "o", pch = 16, col = blue, ylim = range(values), xlab = "epoch", ylab = "", main = title
  )
  lines(history$epoch, val, type = "o", pch = 17, col = vermilion)
}
curve("loss", "loss")
legend("topright", c("training", "validation"), col = c(blue, vermilion), pch = 16:17, bty = "n")
curve("accuracy", "accuracy")

par(mar = c(0.3, 0.3, 1.5, 0.3))
for (i in hardest) {
  wrong <- predicted[i] != truth[i]
  picture <- images[[i]]
  image(
    t(picture)[, rev(seq_len(nrow(picture)))],
    col = grey.colors(17, 1, 0, gamma = 1), axes = FALSE, asp = 1
  )
  text <- if (wrong) sprintf("%s, said %s", truth[i], predicted[i]) else as.character(truth[i])
  colour <- if (wrong) vermilion else "black"
  title(text, line = 0.3, cex.main = 0.9, font.main = 1, col.main = colour)
}
invisible(dev.off())
cat("man/figures/digits.png\n")
