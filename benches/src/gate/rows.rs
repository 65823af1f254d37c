//! Rows of a scoreboard: `| row | figure | value | unit | tag |`.

use anyhow::{Context as _, Result};

/// See the module.
pub struct Scoreboard(Vec<String>);

impl Scoreboard {
    pub fn new(text: String) -> Self {
        Self(text.lines().map(str::to_owned).collect())
    }

    pub fn text(&self) -> String {
        self.0.join("\n") + "\n"
    }

    pub fn get(&self, row: &str, figure: &str) -> Result<f64> {
        let line = &self.0[self.find(row, figure)?];
        let value = cells(line).nth(2).unwrap_or_default().replace(',', "");
        value.parse().with_context(|| format!("{row} {figure} is no number in the scoreboard: `make gate-update`"))
    }

    pub fn set(&mut self, row: &str, figure: &str, value: &str) -> Result<()> {
        let at = self.find(row, figure)?;
        let mut new: Vec<&str> = cells(&self.0[at]).collect();
        new[2] = value;
        new[4] = "measured";
        self.0[at] = format!("| {} |", new.join(" | ")).replace("|  |", "| |");
        Ok(())
    }

    fn find(&self, row: &str, figure: &str) -> Result<usize> {
        let is_it = |line: &String| {
            let cells: Vec<&str> = cells(line).collect();
            cells.len() == 5 && cells[0] == row && cells[1] == figure
        };
        self.0.iter().position(is_it).with_context(|| format!("the scoreboard has no row `| {row} | {figure} |`"))
    }
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim().trim_start_matches('|').trim_end_matches('|').split('|').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_and_set_and_nothing_else_changes() {
        let text = "# Title\n\n| row | figure | value | unit | tag |\n| a | x | 1,234 | | pending |\n| a | y | – |  | pending |\n";
        let mut board = Scoreboard::new(text.to_owned());
        assert_eq!(board.get("a", "x").expect("a number"), 1234.0);
        assert!(board.get("a", "y").is_err() && board.get("b", "x").is_err());
        board.set("a", "y", "7").expect("a row");
        assert_eq!(board.text(), text.replace("| a | y | – |  | pending |", "| a | y | 7 | | measured |"));
    }
}
