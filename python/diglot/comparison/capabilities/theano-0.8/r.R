# Theano 0.8 from R, through reticulate; it has no R package of its own.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
# Inside R, an environment of an old Python does not find the headers that compilers need.
sysconfig <- reticulate::import("sysconfig")
Sys.setenv(CPATH = sysconfig$get_config_var("INCLUDEPY"))
numbers <- c(0.5, -1.5, 2)
theano <- reticulate::import("theano", convert = FALSE)
tensor <- reticulate::import("theano.tensor", convert = FALSE)
x <- tensor$dvector()
slope <- theano$`function`(list(x), theano$grad(tensor$sum(tensor$sin(x)), x))
gradient <- reticulate::py_to_r(slope$`__call__`(numbers)$tolist())
stopifnot(all.equal(unlist(gradient), cos(numbers), tolerance = 1e-6))
