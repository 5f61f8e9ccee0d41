# MXNet from R, through reticulate; its own R package is no longer distributed.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
numbers <- c(0.5, -1.5, 2)
reticulate::import("old_numpy")
mx <- reticulate::import("mxnet")
x <- mx$nd$array(numbers)
x$attach_grad()
with(mx$autograd$record(), {
  value <- mx$nd$sum(mx$nd$sin(x))
})
value$backward()
gradient <- x$grad$asnumpy()
stopifnot(all.equal(as.vector(unlist(gradient)), cos(numbers), tolerance = 1e-6))
