//! A report for people: the cause, who, why we believe it, what to do, within 80 × 24.

mod fact;
mod healthy;
mod wrap;

use bellwether_model::net::Family;
use bellwether_model::report::{Diagnosis, LayerReport, LayerState, Role};
use bellwether_model::text::inert;
use bellwether_model::{Cause, Fact, NotRunReason, Outcome, ProbeKind, Report, Verdict};

use wrap::wrapped;

pub(crate) use wrap::Paint;

/// Columns of a screen.
const WIDTH: usize = 80;

/// Rows of a screen.
const HEIGHT: usize = 24;

/// How much is told, from the most to the least; the first that fits a screen is taken.
const BUDGETS: &[Budget] = &[
    Budget::new(10, 3, 3),
    Budget::new(8, 2, 2),
    Budget::new(8, 1, 1),
    Budget::new(6, 1, 1),
    Budget::new(5, 0, 1),
    Budget::new(4, 0, 1),
    Budget::new(5, 0, 0),
    Budget::new(4, 0, 0),
    Budget::new(3, 0, 0),
    Budget::new(2, 0, 0),
];

/// Longest text of a stranger that is shown.
const SHOWN_MAX: usize = 400;

/// Indentation of what stands behind a label.
const LABELLED: usize = 10;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// With colour?
    pub(crate) colour: bool,
    /// Columns.
    pub(crate) width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            colour: false,
            width: WIDTH,
        }
    }
}

/// How much is told of what could be long.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// Rows for facts.
    why_rows: usize,
    /// Other findings.
    others: usize,
    /// Details of the cause.
    details: usize,
}

impl Budget {
    const fn new(why_rows: usize, others: usize, details: usize) -> Self {
        Self {
            why_rows,
            others,
            details,
        }
    }
}

/// The whole report.
pub(crate) fn render(report: &Report, style: Style) -> String {
    let mut text = String::new();
    for budget in BUDGETS {
        text = page(report, style, *budget);
        if text.lines().count() <= HEIGHT {
            break;
        }
    }
    text
}

fn page(report: &Report, style: Style, budget: Budget) -> String {
    let mut page = Page {
        text: String::new(),
        style,
        budget,
    };
    page.asked(report);
    page.text.push_str(&verdict_line(report, style));
    match &report.diagnosis {
        Some(diagnosis) => page.diagnosis(report, diagnosis),
        None => page.healthy(report),
    }
    page.layers(report);
    page.text
}

/// `✗ DEGRADED  https://api.example.com/   dns.delegation.wrong_ns, 97 % sure`.
pub(crate) fn verdict_line(report: &Report, style: Style) -> String {
    let (mark, word, paint) = match report.verdict {
        Verdict::Healthy => ('✓', "HEALTHY", Paint::Good),
        Verdict::Degraded => ('✗', "DEGRADED", Paint::Bad),
        Verdict::Broken => ('✗', "BROKEN", Paint::Bad),
        Verdict::Unknown => ('?', "UNKNOWN", Paint::Odd),
    };
    let head = paint.on(&format!("{mark} {word}"), style);
    let target = shown(&report.target);
    let tail = match &report.diagnosis {
        Some(d) => format!("   {}, {} % sure", d.cause, percent(d.confidence)),
        None => String::new(),
    };
    format!("{head}  {target}{tail}\n")
}

/// Was a probe that gave no result under way, so that it may have sent something?
fn was_begun(reason: NotRunReason) -> bool {
    match reason {
        NotRunReason::Deadline
        | NotRunReason::WorkerHung
        | NotRunReason::WorkerDied
        | NotRunReason::Panicked
        | NotRunReason::NotNeeded => true,
        NotRunReason::NoRoute
        | NotRunReason::EgressRefused
        | NotRunReason::NotPermitted
        | NotRunReason::Limit
        | NotRunReason::Privacy => false,
    }
}

/// A stranger's text, harmless.
fn shown(text: &str) -> String {
    inert(text, SHOWN_MAX)
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

/// `1 name server`, `2 name servers`.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

/// What is printed, line by line.
struct Page {
    text: String,
    style: Style,
    budget: Budget,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// What was asked of whom.
    fn asked(&mut self, report: &Report) {
        let mut resolvers = Vec::new();
        let mut controls = Vec::new();
        for observation in &report.observations {
            match &observation.outcome {
                Outcome::ResolverMatrix(seen) => resolvers.push(seen.resolver.clone()),
                Outcome::Control(seen) => controls.push(seen.control.clone()),
                Outcome::NotRun(not)
                    if observation.probe == ProbeKind::ResolverMatrix && was_begun(not.reason) =>
                {
                    resolvers.push(not.subject.clone());
                }
                _ => {}
            }
        }
        let joined = |mut all: Vec<String>| {
            all.sort();
            all.dedup();
            if all.is_empty() {
                "none".to_owned()
            } else {
                all.join(", ")
            }
        };
        let line = format!(
            "asked: name servers from the root down; resolvers {}; controls {}",
            shown(&joined(resolvers)),
            shown(&joined(controls))
        );
        for line in wrapped(&line, self.style.width, 2) {
            let line = Paint::Faint.on(&line, self.style);
            self.line(&line);
        }
    }

    fn diagnosis(&mut self, report: &Report, diagnosis: &Diagnosis) {
        let mut summary = shown(&diagnosis.summary);
        if diagnosis.cause == Cause::Unknown {
            summary = format!("{summary} (layer {}; no rule explains it)", diagnosis.layer);
        }
        for line in wrapped(&format!("  {summary}"), self.style.width, 2) {
            self.line(&line);
        }
        self.line("");
        self.labelled("Who", &who(report, diagnosis));
        for detail in diagnosis.details.iter().take(self.budget.details) {
            self.labelled("", &shown(&detail.text));
        }
        self.why(diagnosis);
        self.labelled("Do", &shown(&diagnosis.remedy));
        if let Some(see) = &diagnosis.see {
            self.labelled("See", &shown(see));
        }
        for left in &diagnosis.not_excluded {
            self.labelled("Open", &shown(left));
        }
        self.others(report, diagnosis);
        self.line("");
    }

    /// A label, and a text that is wrapped behind it.
    fn labelled(&mut self, label: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let label = format!("{label:<8}");
        let painted = Paint::Strong.on(&label, self.style);
        for (at, line) in wrapped(text, self.style.width - LABELLED, 0)
            .iter()
            .enumerate()
        {
            let head = if at == 0 {
                painted.as_str()
            } else {
                "        "
            };
            self.line(&format!("  {head}{line}"));
        }
    }

    /// The facts, each with its evidence at the right edge.
    fn why(&mut self, diagnosis: &Diagnosis) {
        let mut rows: Vec<String> = Vec::new();
        let mut left = 0;
        for fact in &diagnosis.facts {
            let lines = self.fact(fact);
            if rows.contains(&lines[0]) {
                continue;
            }
            if rows.len() + lines.len() > self.budget.why_rows {
                left += 1;
            } else {
                rows.extend(lines);
            }
        }
        if left > 0 {
            rows.push(format!("and {}: --format json", count(left, "more fact")));
        }
        for (at, row) in rows.iter().enumerate() {
            let label = if at == 0 {
                Paint::Strong.on("Why     ", self.style)
            } else {
                " ".repeat(8)
            };
            self.line(&format!("  {label}{row}"));
        }
    }

    fn fact(&self, fact: &Fact) -> Vec<String> {
        let evidence = match &fact.from[..] {
            [] => String::new(),
            [one] => one.clone(),
            [first, second] => format!("{first} {second}"),
            [first, ..] => format!("{first} …"),
        };
        let width = self.style.width - LABELLED - 8;
        let mut lines = wrapped(&shown(&fact::sentence(fact)), width, 2);
        if let Some(first) = lines.first_mut() {
            let used = first.chars().count();
            *first = format!(
                "{first}{}{evidence:>8}",
                " ".repeat(width.saturating_sub(used))
            );
        }
        lines
    }

    /// What follows from the root, and what stands beside it.
    fn others(&mut self, report: &Report, diagnosis: &Diagnosis) {
        if !diagnosis.consequences.is_empty() {
            let codes: Vec<&str> = diagnosis.consequences.iter().map(|c| c.code()).collect();
            self.labelled("Follows", &codes.join(", "));
        }
        let roots = report
            .findings
            .iter()
            .filter(|f| f.role == Role::Root)
            .skip(1);
        let warnings = report.findings.iter().filter(|f| f.role == Role::Warning);
        let beside: Vec<_> = roots
            .map(|f| ("Also", f))
            .chain(warnings.map(|f| ("Besides", f)))
            .collect();
        for (label, finding) in beside.iter().take(self.budget.others) {
            self.labelled(
                label,
                &format!("{}: {}", finding.cause, shown(&finding.summary)),
            );
        }
        if beside.len() > self.budget.others {
            let left = count(beside.len() - self.budget.others, "other finding");
            self.labelled("", &format!("and {left}: --format json"));
        }
    }

    /// `dns ✗ 41 ms   net ✓ 12 ms   tls ✗ follows`, and the counts.
    fn layers(&mut self, report: &Report) {
        let layers: Vec<String> = report
            .layers
            .iter()
            .map(|layer| self.layer(report, layer))
            .collect();
        let counts = counts(report);
        let plain: usize = report
            .layers
            .iter()
            .map(|l| layer_text(report, l).chars().count() + 3)
            .sum();
        let layers = layers.join("   ");
        if plain + counts.chars().count() + 5 <= self.style.width {
            let gap = self.style.width - plain - counts.chars().count() + 1;
            self.line(&format!("  {layers}{}{counts}", " ".repeat(gap)));
        } else {
            self.line(&format!("  {layers}"));
            self.line(&format!("  {counts}"));
        }
    }

    fn layer(&self, report: &Report, layer: &LayerReport) -> String {
        let paint = match layer.state {
            LayerState::Ok => Paint::Good,
            LayerState::Failed | LayerState::Degraded => Paint::Bad,
            LayerState::Unknown => Paint::Odd,
            LayerState::Skipped => Paint::Faint,
        };
        paint.on(&layer_text(report, layer), self.style)
    }
}

fn layer_text(report: &Report, layer: &LayerReport) -> String {
    let lowest = report.diagnosis.as_ref().map(|d| d.layer);
    let follows = lowest.is_some_and(|lowest| lowest < layer.layer);
    let took = format!("{:.0} ms", layer.took_ms);
    let name = layer.layer.name();
    match layer.state {
        LayerState::Ok => format!("{name} ✓ {took}"),
        LayerState::Failed | LayerState::Degraded if follows => format!("{name} ✗ follows"),
        LayerState::Failed => format!("{name} ✗ {took}"),
        LayerState::Degraded => format!("{name} ± {took}"),
        LayerState::Unknown => format!("{name} ? unknown"),
        LayerState::Skipped => format!("{name} – not judged"),
    }
}

/// Resolvers, addresses, queries and the time of the whole check.
fn counts(report: &Report) -> String {
    let resolvers = report
        .observations
        .iter()
        .filter(|o| o.probe == ProbeKind::ResolverMatrix)
        .count();
    let addresses: usize = report
        .observations
        .iter()
        .map(|o| match &o.outcome {
            Outcome::Addresses(seen) => seen.found.len(),
            _ => 0,
        })
        .sum();
    let queries = match report.queries {
        1 => "1 query".to_owned(),
        many => format!("{many} queries"),
    };
    let addresses = match addresses {
        1 => "1 address".to_owned(),
        many => format!("{many} addresses"),
    };
    let seconds = report.took_ms / 1000.0;
    format!(
        "{}, {addresses}, {queries}, {seconds:.1} s",
        count(resolvers, "resolver")
    )
}

/// Who is affected.
fn who(report: &Report, diagnosis: &Diagnosis) -> String {
    if report.verdict == Verdict::Unknown {
        return "this machine; nothing is said about the target".to_owned();
    }
    let scope = &diagnosis.scope;
    let mut parts = Vec::new();
    if !scope.resolvers.is_empty() {
        let listed = some(&scope.resolvers);
        let asked = report
            .observations
            .iter()
            .filter(|o| o.probe == ProbeKind::ResolverMatrix)
            .count();
        let own = scope.resolvers.iter().any(|r| r == "own");
        parts.push(if own || asked < scope.resolvers.len() {
            format!("resolvers {listed}")
        } else {
            format!(
                "{} of {}: {listed}",
                scope.resolvers.len(),
                count(asked, "resolver")
            )
        });
    }
    // What the summary says already is not said again.
    let told = |text: &String| diagnosis.summary.contains(text.as_str());
    let addresses: Vec<String> = scope.addresses.iter().map(ToString::to_string).collect();
    if !addresses.iter().all(told) {
        let owners = match scope.owners.iter().all(told) {
            true => String::new(),
            false => format!(" ({})", some(&scope.owners)),
        };
        parts.push(format!("{}{owners}", some(&addresses)));
    }
    let mut names: Vec<String> = scope
        .name_servers
        .iter()
        .map(|label| label.split('@').next().unwrap_or(label).to_owned())
        .collect();
    names.dedup();
    if !names.iter().all(told) {
        parts.push(some(&names));
    }
    if let [family] = &scope.families[..]
        && families(report) > 1
    {
        parts.push(format!("only IP{family}"));
    }
    match report.verdict {
        Verdict::Degraded if scope.share > 0.0 => {
            parts.push(format!("about {} % of attempts fail", percent(scope.share)));
        }
        Verdict::Broken => parts.push("every attempt fails".to_owned()),
        Verdict::Healthy | Verdict::Degraded | Verdict::Unknown => {}
    }
    shown(&parts.join("; "))
}

/// In how many families addresses were found.
fn families(report: &Report) -> usize {
    let mut found: Vec<Family> = report
        .observations
        .iter()
        .flat_map(|o| match &o.outcome {
            Outcome::Addresses(seen) => seen.found.clone(),
            _ => Vec::new(),
        })
        .map(|seen| Family::of(seen.address))
        .collect();
    found.sort();
    found.dedup();
    found.len()
}

/// The first few of a list.
fn some(all: &[String]) -> String {
    const FEW: usize = 4;
    match all.len() {
        0..=FEW => all.join(", "),
        len => format!("{} and {} more", all[..FEW].join(", "), len - FEW),
    }
}

#[cfg(test)]
mod tests;
