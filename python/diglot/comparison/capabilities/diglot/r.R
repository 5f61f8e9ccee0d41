# diglot on MXNet from R, by its own package.
Sys.setenv(RETICULATE_PYTHON = commandArgs(TRUE)[[1]])
library(diglot)
digits <- example_images("digits")
fit <- image_classifier(label ~ image, digits[1:1200, ], epochs = 3, seed = 1, verbose = FALSE)
test <- digits[1201:1797, ]
share <- mean(predict(fit, test)$.pred_class == test$label)
stopifnot(share > 0.8)
