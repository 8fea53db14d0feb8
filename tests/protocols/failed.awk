# Fails if a scenario of the baseline, the first file, has not failed as many checks in the log of the suite, the second file, as its
# line says: one, unless the line says `N checks fail`.
FNR == NR && $1 == "-" {
    expected[$2] = match($0, /[0-9]+ checks fail/) ? substr($0, RSTART) + 0 : 1
}
# ✗ scenario: 22 passed, 3 failed
FNR != NR && NF == 6 && $4 == "passed," && $6 == "failed" {
    name = $2
    sub(/:$/, "", name)
    seen++
    if (name in expected && expected[name] != $5) {
        printf "%s: %s checks fail, and the baseline says %s\n", name, $5, expected[name] >"/dev/stderr"
        wrong = 1
    }
}
END {
    exit wrong || !seen
}
