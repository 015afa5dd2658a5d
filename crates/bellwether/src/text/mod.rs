//! A report for people: the cause, who, why we believe it, what to do, within 80 × 24.

mod connections;
mod fact;
mod healthy;
mod layers;
mod sentences;
mod supporting;
mod who;
mod why;
mod wrap;

use bellwether_diagnose::words::count;
use bellwether_model::report::{Diagnosis, Role, Severity};
use bellwether_model::text::inert;
use bellwether_model::{Cause, FactKind, NotRunReason, Outcome, ProbeKind, Report, Verdict};

use wrap::command_lines;

pub(crate) use wrap::{Paint, row, wrapped};

/// Columns of a screen, where no terminal says otherwise.
pub(crate) const WIDTH: usize = 80;

/// Rows of a screen.
const HEIGHT: usize = 24;

/// How much is told, from the most to the least; the first that fits a screen is taken.
const BUDGETS: &[Budget] = &[
    Budget::new(10, 3, 3, 3, 6),
    Budget::new(8, 2, 2, 2, 3),
    Budget::new(8, 1, 1, 1, 2),
    Budget::new(7, 1, 1, 1, 1),
    Budget::new(6, 1, 1, 1, 1),
    Budget::new(6, 0, 1, 1, 0),
    Budget::new(5, 0, 1, 0, 0),
    Budget::new(4, 0, 1, 0, 0),
    Budget::new(4, 0, 0, 0, 0),
    Budget::new(3, 0, 0, 0, 0),
    Budget::new(2, 0, 0, 0, 0),
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
    /// What was not excluded.
    open: usize,
    /// Warnings and notices where nothing is broken.
    notable: usize,
}

impl Budget {
    const fn new(
        why_rows: usize,
        others: usize,
        details: usize,
        open: usize,
        notable: usize,
    ) -> Self {
        Self {
            why_rows,
            others,
            details,
            open,
            notable,
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
    page.verdict(report);
    match &report.diagnosis {
        Some(diagnosis) => page.diagnosis(report, diagnosis),
        None => page.healthy(report),
    }
    page.text
}

/// `✗ DEGRADED  https://api.example.com/   dns.delegation.wrong_ns, 97 % sure`.
pub(crate) fn verdict_line(report: &Report, style: Style) -> String {
    let (head, target, tail) = verdict(report);
    let head = verdict_paint(report).on(&head, style);
    let tail = match tail.as_str() {
        "" => String::new(),
        tail => format!("   {tail}"),
    };
    format!("{head}  {target}{tail}\n")
}

/// The verdict, the target, and the cause or how many warnings there are.
fn verdict(report: &Report) -> (String, String, String) {
    let (mark, word) = match report.verdict {
        Verdict::Healthy => ('✓', "HEALTHY"),
        Verdict::Degraded => ('✗', "DEGRADED"),
        Verdict::Broken => ('✗', "BROKEN"),
        Verdict::Unknown => ('?', "UNKNOWN"),
    };
    let warned: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Warning)
        .collect();
    let tail = match &report.diagnosis {
        Some(d) if d.cause == Cause::Unknown => format!("{}, at layer {}", d.cause, d.layer),
        Some(d) => format!("{}, {} % sure", d.cause, percent(d.confidence)),
        None => match warned.as_slice() {
            [] => String::new(),
            [one] => format!("1 warning: {}", one.cause),
            many => count(many.len(), "warning"),
        },
    };
    (format!("{mark} {word}"), shown(&report.target), tail)
}

fn verdict_paint(report: &Report) -> Paint {
    match report.verdict {
        Verdict::Healthy => Paint::Good,
        Verdict::Degraded | Verdict::Broken => Paint::Bad,
        Verdict::Unknown => Paint::Odd,
    }
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

    /// The verdict line; the cause stands below it where both are too long for one line.
    fn verdict(&mut self, report: &Report) {
        let line = verdict_line(
            report,
            Style {
                colour: false,
                ..self.style
            },
        );
        if line.trim_end().chars().count() <= self.style.width {
            self.text.push_str(&verdict_line(report, self.style));
            return;
        }
        let (head, target, tail) = verdict(report);
        for (at, line) in wrapped(&format!("{head}  {target}"), self.style.width, 2)
            .iter()
            .enumerate()
        {
            let line = match line.strip_prefix(&head) {
                Some(rest) if at == 0 => {
                    format!("{} {rest}", verdict_paint(report).on(&head, self.style))
                }
                _ => line.clone(),
            };
            self.line(&line);
        }
        self.line(&format!("  {tail}"));
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
        let by_name = report.context.as_ref();
        let by_name = by_name.is_none_or(|context| context.target.name().is_some());
        let whom = if by_name {
            let resolvers = shown(&joined(resolvers));
            format!("name servers from the root down; resolvers {resolvers}")
        } else {
            "the address alone".to_owned()
        };
        let line = format!("asked: {whom}; controls {}", shown(&joined(controls)));
        for line in wrapped(&line, self.style.width, 2) {
            let line = Paint::Faint.on(&line, self.style);
            self.line(&line);
        }
    }

    fn diagnosis(&mut self, report: &Report, diagnosis: &Diagnosis) {
        let summary = shown(&diagnosis.summary);
        for line in wrapped(&format!("  {summary}"), self.style.width, 2) {
            self.line(&line);
        }
        self.line("");
        self.labelled("Who", &shown(&who::who(report, diagnosis)));
        let is_a_fact = |kind| diagnosis.facts.iter().any(|f| f.fact == kind);
        let told = is_a_fact(FactKind::OldNsAnswer) || is_a_fact(FactKind::NsAnswersDisjoint);
        let details = diagnosis
            .details
            .iter()
            .filter(|d| d.label != "right_answer" || !told);
        for detail in details.take(self.budget.details) {
            self.labelled("", &shown(&detail.text));
        }
        self.why(report, diagnosis);
        self.labelled("Do", &shown(&diagnosis.remedy));
        if let Some(see) = &diagnosis.see {
            self.command("See", see);
        }
        for left in diagnosis.not_excluded.iter().take(self.budget.open) {
            self.labelled("Open", &shown(left));
        }
        self.others(report);
        self.line("");
        self.layers(report);
    }

    /// A label, and a text that is wrapped behind it.
    fn labelled(&mut self, label: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        for (at, line) in wrapped(text, self.beside_labels(), 0).iter().enumerate() {
            self.labelled_line(if at == 0 { label } else { "" }, line);
        }
    }

    /// A label and a command that can be pasted: it is broken between words only, with the sign by
    /// which a shell reads on.
    fn command(&mut self, label: &str, command: &str) {
        // Doubled backslashes would make another command of it; controls stay escaped.
        let command = shown(command).replace("\\\\", "\\");
        let mut lines = command_lines(&command, self.beside_labels());
        let last = lines.pop().unwrap_or_default();
        let mut label = label;
        for line in lines {
            self.labelled_line(label, &format!("{line} \\"));
            label = "";
        }
        self.labelled_line(label, &last);
    }

    fn labelled_line(&mut self, label: &str, line: &str) {
        let label = format!("{label:<8}");
        let painted = Paint::Strong.on(&label, self.style);
        self.line(&format!("  {painted}{line}"));
    }

    /// What stands beside the root.
    fn others(&mut self, report: &Report) {
        let of = |role| report.findings.iter().filter(move |f| f.role == role);
        let roots = of(Role::Root).skip(1).map(|f| ("Also", f));
        // What breaks the service besides is told whole, whatever the room.
        let most = self.budget.others.max(roots.clone().count());
        let warnings = of(Role::Warning).map(|f| ("Besides", f));
        let beside: Vec<_> = roots.chain(warnings).collect();
        for (label, finding) in beside.iter().take(most) {
            self.labelled(
                label,
                &format!("{}: {}", finding.cause, shown(&finding.summary)),
            );
        }
        if beside.len() > most {
            let left = count(beside.len() - most, "other finding");
            self.labelled("", &format!("and {left}: --format json"));
        }
    }
}

#[cfg(test)]
mod tests;
