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

const SHIPPED: &[Shipped] = scenarios! {
    "d01-foreign-alias.yaml",
    "d01-foreign-delegation-no-baseline.yaml",
    "d01-foreign-delegation.yaml",
    "d01-foreign-denies.yaml",
    "d01-own-name-servers-no-baseline.yaml",
    "d01-partly-foreign.yaml",
    "d01-several-kinds-of-checks.yaml",
    "d01-undecided.yaml",
    "d02-foreign-delegation-rcodes.yaml",
    "d03-parent-child-differ.yaml",
    "d04-lame-all.yaml",
    "d04-lame-one-of-four.yaml",
    "d04-lame-upward.yaml",
    "d06-ns-without-address-all.yaml",
    "d06-ns-without-address.yaml",
    "d06-only-the-parent-names-it.yaml",
    "d07-ns-is-alias-all.yaml",
    "d07-ns-is-alias.yaml",
    "d09-delegation-missing.yaml",
    "d09-parent-of-the-zone.yaml",
    "d10-blank-zone.yaml",
    "d11-stale-alias.yaml",
    "d11-stale-secondary.yaml",
    "d11-stale-without-the-name.yaml",
    "d13-name-servers-silent.yaml",
    "d16-record-missing.yaml",
    "d17-private-address.yaml",
    "d18-alias-loop.yaml",
    "d19-alias-chain-through-a-cdn.yaml",
    "d19-alias-to-unregistered.yaml",
    "d19-dangling-alias.yaml",
    "d34-forty-addresses.yaml",
    "h01-status-500.yaml",
    "h04-wrong-content.yaml",
    "mashery-2024.yaml",
    "n05-planned-migration.yaml",
    "n09-declared-redirect.yaml",
    "n09-declared-status.yaml",
    "n10-without-ipv6.yaml",
    "n11-unsigned-zone.yaml",
    "n12-resolver-without-edns.yaml",
    "n14-wrong-date-header.yaml",
    "n15-short-certificates.yaml",
    "n17-should-not-exist.yaml",
    "n18-echo-blocked.yaml",
    "n21-signed-zone.yaml",
    "n21-zsk-roll.yaml",
    "n22-http3-withdrawn.yaml",
    "p08-address-silent.yaml",
    "p11-one-address-refused.yaml",
    "p12-ipv6-silent.yaml",
    "r07-glue-missing.yaml",
    "r09-tld-key-rolled.yaml",
    "real-d01-foreign-delegation.yaml",
    "real-d04-lame-one-of-four.yaml",
    "real-d10-blank-zone.yaml",
    "real-d11-stale-secondary.yaml",
    "real-d13-name-servers-silent.yaml",
    "real-d16-record-missing.yaml",
    "real-d18-alias-loop.yaml",
    "real-h01-status-500.yaml",
    "real-healthy.yaml",
    "real-n21-signed-zone.yaml",
    "real-p11-one-address-refused.yaml",
    "real-s01-signatures-expired.yaml",
    "real-s03-wrong-ds.yaml",
    "real-s05-signature-missing.yaml",
    "real-t01-certificate-expired.yaml",
    "real-t03-other-certificate.yaml",
    "real-t04-default-certificate.yaml",
    "real-t08-private-root.yaml",
    "real-v13-resolver-refuses.yaml",
    "s01-one-signature-expired.yaml",
    "s01-signatures-expired.yaml",
    "s02-signatures-not-yet-valid.yaml",
    "s03-key-rolled.yaml",
    "s03-wrong-ds.yaml",
    "s04-moved-to-unsigned-provider.yaml",
    "s04-unsigned-with-ds.yaml",
    "s05-signature-missing.yaml",
    "s06-altered-record.yaml",
    "s07-denial-missing.yaml",
    "s07-denial-too-wide.yaml",
    "s08-secondary-expired.yaml",
    "s10-algorithm-unsupported.yaml",
    "s10b-algorithm-taken-as-unsigned.yaml",
    "s11-iterations.yaml",
    "s14-wrong-cds.yaml",
    "s15-outdated-anchor.yaml",
    "s16-signatures-end-soon.yaml",
    "t01-behind-a-redirect.yaml",
    "t01-certificate-expired.yaml",
    "t02-certificate-not-yet-valid.yaml",
    "t03-other-certificate.yaml",
    "t04-default-certificate.yaml",
    "t08-private-root.yaml",
    "v06-resolver-denies-one-name.yaml",
    "v06-resolver-denies-the-apex.yaml",
    "v13-resolver-refuses.yaml",
    "vantage-uplink.yaml",
};

/// Every shipped scenario.
#[must_use]
pub fn shipped() -> &'static [Shipped] {
    SHIPPED
}
