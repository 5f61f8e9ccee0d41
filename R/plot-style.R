# What all plots share with those of Python: colours, words, how long names may be.

# They are told apart by colour-blind readers (M. Okabe and K. Ito, 2008, Color universal design).
# Grey stands for Okabe and Ito's yellow, which a white ground swallows.
class_colours <- c(
  "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"
)
# Beside the colours, for who sees none.
class_lines <- c("solid", "42", "11", "4212", "82", "6222", "solid", "42")

blue <- class_colours[[1L]]
vermilion <- class_colours[[2L]]
set_colours <- c(training = blue, validation = vermilion)

diglot_theme <- function() {
  ggplot2::theme_minimal(base_size = 10) +
    ggplot2::theme(
      # else a file's background is transparent, and unreadable where it is shown on black
      plot.background = ggplot2::element_rect(fill = "white", colour = NA),
      panel.grid.minor = ggplot2::element_blank(),
      panel.grid.major = ggplot2::element_line(linewidth = 0.3),
      strip.text = ggplot2::element_text(size = 9),
      strip.clip = "off",
      panel.spacing.x = ggplot2::unit(10, "pt"),
      plot.margin = ggplot2::margin(6, 10, 6, 6)
    )
}

# The name of a metric, or of a method, for readers; the same words as in Python.
in_words <- function(name) {
  name <- as.character(name)
  spelt <- c(
    f1 = "F1", macro_f1 = "macro F1", weighted_f1 = "weighted F1", kappa = "Cohen's kappa",
    brier = "Brier score", roc_auc = "ROC AUC", expected_calibration_error = "calibration error",
    grad_cam = "Grad-CAM"
  )
  ifelse(name %in% names(spelt), spelt[name], gsub("_", " ", name, fixed = TRUE))
}

# Long names are cut; what has several lines is laid into one. Dots of ASCII, as the usual pdf() has
# no ellipsis, nor a true minus.
shorten <- function(name, longest = 24L) {
  text <- trimws(gsub("[[:space:]]+", " ", as.character(name)))
  ifelse(nchar(text) <= longest, text, paste0(substr(text, 1L, longest - 3L), "..."))
}

# In the order in which they come.
in_order <- function(x) factor(x, unique(x))

named_panels <- function(spell = shorten) ggplot2::as_labeller(function(name) spell(name))

# A panel for each class; the more there are, the shorter are their names.
class_panels <- function(count) {
  many <- count > 9L
  list(
    ggplot2::facet_wrap(
      ~class,
      labeller = named_panels(function(name) shorten(name, if (many) 16L else 24L))
    ),
    ggplot2::theme(strip.text = ggplot2::element_text(size = if (many) 7 else 9))
  )
}

# Names down an axis, the first on top; those that would overlap are left out.
names_down <- function(spell = shorten) {
  ggplot2::scale_y_discrete(
    limits = rev, labels = spell, guide = ggplot2::guide_axis(check.overlap = TRUE)
  )
}

# Shares from 0 to 1 on both axes, and the line on which they are equal.
unit_square <- function(breaks = seq(0, 1, 0.25)) {
  list(
    ggplot2::geom_abline(linetype = "dotted", colour = "grey55", linewidth = 0.4),
    ggplot2::scale_x_continuous(breaks = breaks, labels = plain_numbers),
    ggplot2::scale_y_continuous(breaks = breaks, labels = plain_numbers),
    ggplot2::coord_fixed(xlim = c(0, 1), ylim = c(0, 1))
  )
}

plain_numbers <- function(x) formatC(x, format = "fg")

# Estimates as dots with their intervals as lines; a missing end leaves the line away.
dots <- function(x = "estimate", ...) {
  .data <- rlang::.data
  list(
    ggplot2::geom_linerange(
      ggplot2::aes(xmin = .data$lower, xmax = .data$upper),
      colour = blue, linewidth = 0.6, na.rm = TRUE
    ),
    ggplot2::geom_point(ggplot2::aes(x = .data[[x]]), colour = blue, size = 1.8, na.rm = TRUE)
  )
}

dashed_at <- function(x) {
  ggplot2::geom_vline(xintercept = x, linetype = "dashed", colour = "grey55", linewidth = 0.4)
}

check_plot_table <- function(table, columns, call) {
  rlang::check_installed("ggplot2", "to draw this plot.", call = call)
  missing <- setdiff(columns, names(table))
  if (length(missing) > 0L) {
    abort_diglot(
      sprintf("The table lacks %s, so that it cannot be drawn.", quoted(missing)),
      call = call
    )
  }
  if (nrow(table) == 0L) {
    abort_diglot("The table has no rows: there is nothing to draw.", call = call)
  }
}
