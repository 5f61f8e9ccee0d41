# Which classes are taken for which.

# `counts` is a matrix with names: rows are the truth, columns the prediction. The shade of a cell
# is its share of its row; an empty cell is white. Counts and names are left out where there are too
# many to read.
confusion_plot <- function(counts, call = rlang::caller_env()) {
  rlang::check_installed("ggplot2", "to draw this plot.", call = call)
  classes <- rownames(counts)
  k <- nrow(counts)
  filled <- which(counts > 0, arr.ind = TRUE)
  # by number, as classes may have the same name once they are shortened
  cells <- tibble::tibble(
    truth = unname(filled[, 1L]), predicted = unname(filled[, 2L]),
    n = counts[filled], share = (counts / pmax(rowSums(counts), 1))[filled]
  )
  plot <- ggplot2::ggplot(cells, ggplot2::aes(.data$predicted, .data$truth)) +
    ggplot2::geom_tile(ggplot2::aes(fill = .data$share)) +
    # a single image must still be seen in a row of thousands: the palest shade is not white
    ggplot2::scale_fill_gradientn(
      colours = c("#D6E6F2", "#5E9CC9", "#08306B"), limits = c(0, 1), breaks = c(0, 0.5, 1),
      labels = function(x) paste0(100 * x, "%")
    ) +
    ggplot2::coord_fixed(xlim = c(0.5, k + 0.5), ylim = c(k + 0.5, 0.5), expand = FALSE) +
    ggplot2::labs(x = "predicted", y = "truth", fill = "share of\nthe truth") +
    diglot_theme() +
    ggplot2::theme(
      panel.grid.major = ggplot2::element_blank(),
      panel.border = ggplot2::element_rect(colour = "grey70", fill = NA, linewidth = 0.4)
    )
  if (k <= 25L) {
    longest <- max(nchar(counted_each(cells$n)))
    plot <- plot + ggplot2::geom_text(
      ggplot2::aes(label = counted_each(.data$n)),
      colour = ifelse(cells$share > 0.45, "white", "black"),
      size = min(3.5, 46 / k, 120 / (k * longest))
    )
  }
  if (k > 60L) {
    return(
      plot + ggplot2::labs(subtitle = sprintf("%s classes, in their order", counted(k))) +
        ggplot2::scale_x_continuous(breaks = NULL) + ggplot2::scale_y_reverse(breaks = NULL)
    )
  }
  names <- shorten(classes, if (k > 12L) 16L else 24L)
  upright <- k * max(nchar(names)) > 50L
  plot + ggplot2::scale_x_continuous(breaks = seq_len(k), labels = names) +
    ggplot2::scale_y_reverse(breaks = seq_len(k), labels = names) +
    ggplot2::theme(
      axis.text = ggplot2::element_text(size = if (k <= 20L) 8 else 6),
      axis.text.x = if (upright) {
        ggplot2::element_text(angle = 90, hjust = 1, vjust = 0.5)
      }
    )
}

counted_each <- function(n) formatC(n, big.mark = ",", format = "d")
