# PyTensor from R, through reticulate; it has no R package of its own.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
numbers <- c(0.5, -1.5, 2)
pytensor <- reticulate::import("pytensor", convert = FALSE)
pt <- reticulate::import("pytensor.tensor", convert = FALSE)
x <- pt$dvector()
slope <- pytensor$`function`(list(x), pytensor$grad(pt$sum(pt$sin(x)), x))
gradient <- reticulate::py_to_r(slope$`__call__`(numbers)$tolist())
stopifnot(all.equal(unlist(gradient), cos(numbers), tolerance = 1e-6))
