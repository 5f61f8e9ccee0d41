# PyTorch from R, through reticulate; its own R package, torch, needs no Python and is not tried.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
numbers <- c(0.5, -1.5, 2)
torch <- reticulate::import("torch")
x <- torch$tensor(numbers, requires_grad = TRUE)
torch$sum(torch$sin(x))$backward()
gradient <- x$grad$tolist()
stopifnot(all.equal(as.vector(unlist(gradient)), cos(numbers), tolerance = 1e-6))
