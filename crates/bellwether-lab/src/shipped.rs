//! The scenarios that are shipped inside the program.

/// A shipped scenario.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its file name.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl Shipped {
    /// The name by which `drill` knows it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.file.trim_end_matches(".yaml")
    }
}

macro_rules! scenarios {
    ($($file:literal,)*) => {
        &[$(Shipped {
            file: $file,
            text: include_str!(concat!("../../../scenarios/", $file)),
        },)*]
    };
}

/// Every shipped scenario.
#[must_use]
pub fn shipped() -> &'static [Shipped] {
    scenarios! {
        "d01-foreign-delegation.yaml",
    }
}
