//! Tables that are readable for people and valid Markdown.

/// Prints a heading and an aligned table.
pub(crate) fn print<const N: usize>(heading: &str, columns: [&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([columns[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: &[String; N]| {
        let cells = cells.iter().zip(widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("| {} |", cells.join(" | "));
    };
    println!("\n{heading}\n");
    line(&columns.map(str::to_owned));
    line(&widths.map(|width| "-".repeat(width)));
    rows.iter().for_each(line);
}

/// Returns the given quantile of sorted numbers.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}
