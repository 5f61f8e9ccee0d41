# JAX from R, through reticulate; it has no R package of its own.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
numbers <- c(0.5, -1.5, 2)
jax <- reticulate::import("jax")
value <- function(x) jax$numpy$sum(jax$numpy$sin(x))
gradient <- jax$grad(value)(jax$numpy$array(numbers))$tolist()
stopifnot(all.equal(unlist(gradient), cos(numbers), tolerance = 1e-6))
