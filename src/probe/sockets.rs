//! The kernel's tables of TCP sockets, `/proc/net/tcp` and `/proc/net/tcp6`, as text. Pure.
//!
//! Source: <https://docs.kernel.org/networking/proc_net_tcp.html>. Addresses and ports are hexadecimal, and state 01 is `TCP_ESTABLISHED`.

const ESTABLISHED: &str = "01";

/// How many established connections there are to this port of other hosts.
///
/// # Errors
/// What is not such a table, in words.
pub(super) fn established_to(table: &str, port: u16) -> Result<usize, String> {
    let mut lines = table.lines();
    let is_head = |line: &&str| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some("sl") && words.next() == Some("local_address")
    };
    if lines.next().filter(is_head).is_none() {
        return Err("what was printed is no table of sockets".to_owned());
    }
    let mut found = 0;
    for (number, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let unreadable = || format!("line {} of the table of sockets can not be read", number + 2);
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, _, remote, state, ..] = words.as_slice() else { return Err(unreadable()) };
        let (_, remote) = remote.rsplit_once(':').ok_or_else(unreadable)?;
        let remote = u16::from_str_radix(remote, 16).map_err(|_| unreadable())?;
        if state.len() != 2 || u8::from_str_radix(state, 16).is_err() {
            return Err(unreadable());
        }
        found += usize::from(*state == ESTABLISHED && remote == port);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

    /// Lines of Linux 6.1.
    const LINES: [&str; 6] = [
        "   0: 00000000:1F42 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21487 1 0000000000000000 100 0 0 10 0",
        "   1: 0600F40A:9C41 0703000A:1538 01 00000000:00000000 02:000004E8 00000000  1000        0 22013 2 0000000000000000 20 4 30 10 -1",
        "   2: 0600F40A:9C42 0703000A:1538 01 00000000:00000000 02:000004E8 00000000  1000        0 22014 2 0000000000000000 20 4 30 10 -1",
        "   3: 0600F40A:9C43 0703000A:1538 06 00000000:00000000 03:00000F2A 00000000     0        0 0 3 0000000000000000",
        "   4: 0600F40A:1538 0803000A:D2F0 01 00000000:00000000 02:000004E8 00000000  1000        0 22019 2 0000000000000000 20 4 30 10 -1",
        "   5: 0600F40A:9C44 0903000A:1F43 01 00000000:00000000 02:000004E8 00000000  1000        0 22020 2 0000000000000000 20 4 30 10 -1",
    ];

    #[test]
    fn only_what_is_established_and_goes_to_that_port_counts() {
        let table = format!("{HEAD}\n{}\n", LINES.join("\n"));
        assert_eq!(established_to(&table, 5432), Ok(2));
        assert_eq!(established_to(&table, 8003), Ok(1));
        assert_eq!(established_to(&table, 6379), Ok(0));
        assert_eq!(established_to(HEAD, 5432), Ok(0));
        let six = "   0: 0000000000000000FFFF00000600F40A:9C45 0000000000000000FFFF00000703000A:1538 01 00000000:00000000 02:000004E8 00000000  1000        0 22021 2 0000000000000000 20 4 30 10 -1";
        let head = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(established_to(&format!("{head}\n{six}\n"), 5432), Ok(1));
    }

    #[test]
    fn what_is_no_table_is_an_error_and_never_a_zero() {
        let cut = &LINES[1][..24];
        for text in ["", "\n", "cat: /proc/net/tcp: Permission denied\n", LINES[1]] {
            assert_eq!(established_to(text, 5432).unwrap_err(), "what was printed is no table of sockets");
        }
        for line in
            [cut, "   1: 0600F40A:9C41 0703000A 01", "   1: a:b c:1538 established", "   1: a:b c:15G8 01"]
        {
            let error = established_to(&format!("{HEAD}\n{}\n{line}\n", LINES[0]), 5432).unwrap_err();
            assert_eq!(error, "line 3 of the table of sockets can not be read", "{line}");
        }
    }
}
