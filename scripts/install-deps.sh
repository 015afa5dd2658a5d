#!/usr/bin/env bash
# Installs what building, testing or CI needs on Debian 12 with rustup; what is there is left alone.
#   scripts/install-deps.sh build   a C compiler and linker
#   scripts/install-deps.sh test    also iproute2, procps, strace, util-linux, the servers that drills run as they are
#                                   (never as services of this machine), and cargo-nextest
#   scripts/install-deps.sh bench   what `cargo xtask bench` compares with
#   scripts/install-deps.sh ci      also jq, cargo-deny, and python3-venv for schemathesis
set -euo pipefail

NEXTEST_VERSION=0.9.143
DENY_VERSION=0.20.2

build=(gcc libc6-dev)
servers=(bind9 nsd knot pdns-server pdns-backend-bind unbound nginx haproxy openssl)

what=${1:-build}
case $what in
    build) packages=("${build[@]}") ;;
    test) packages=("${build[@]}" iproute2 procps strace util-linux "${servers[@]}") ;;
    bench) packages=("${build[@]}" iproute2 util-linux nsd nginx unbound prometheus-blackbox-exporter) ;;
    ci) packages=("${build[@]}" iproute2 procps strace util-linux "${servers[@]}" jq python3-venv) ;;
    *)
        echo "usage: $0 build|test|bench|ci" >&2
        exit 2
        ;;
esac

missing=()
for package in "${packages[@]}"; do
    if ! dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -gt 0 ]; then
    root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "these packages are missing: ${missing[*]}; install them as root, there is no sudo here" >&2
            exit 1
        fi
        root=(sudo)
    fi
    "${root[@]}" apt-get update
    # Debian starts a server once it is installed, and at each boot. These are started by drills
    # alone, in a box of their own: what is installed here stays off.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
        "${root[@]}" chmod 755 "$policy"
        trap '"${root[@]}" rm -f "$policy"' EXIT
    fi
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "${missing[@]}"
    if [ -d /run/systemd/system ]; then
        for package in "${missing[@]}"; do
            case $package in
                bind9) unit=named ;;
                pdns-server) unit=pdns ;;
                nsd | knot | unbound | nginx | haproxy | prometheus-blackbox-exporter) unit=$package ;;
                *) continue ;;
            esac
            "${root[@]}" systemctl disable --now "$unit"
        done
    fi
fi

if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install rustup from https://rustup.rs/" >&2
    exit 1
fi

# Built from source, in a folder of its own so that it does not disturb the repository's.
install_tool() {
    local name=$1 version=$2
    if command -v "$name" >/dev/null; then
        return
    fi
    cargo install --locked "$name" --version "$version"
}

if [ "$what" != build ]; then
    install_tool cargo-nextest "$NEXTEST_VERSION"
fi
if [ "$what" = ci ]; then
    install_tool cargo-deny "$DENY_VERSION"
fi
