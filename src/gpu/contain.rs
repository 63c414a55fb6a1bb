//! Catches panics of wgpu. wgpu panics, for example, if it waits for a lost device, or if it runs
//! out of memory while it creates a device.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs work of wgpu. The error is the message of a panic.
pub(super) fn contain<T>(doing: &str, work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("wgpu failed while {doing}: {}", one_line(&text.unwrap_or_default()))
    })
}

/// [`contain`] for a future. It is not polled again after a panic.
pub(super) async fn contain_async<T>(
    doing: &str,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    let mut work = pin!(work);
    poll_fn(|context| match contain(doing, || work.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(reason) => Poll::Ready(Err(reason)),
    })
    .await
}

/// The first line of a message.
pub(super) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// wgpu's messages state the cause in later lines: joins all lines and truncates.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_reason() {
        assert_eq!(contain("waiting", || 7), Ok(7));
        let expected = Err::<(), _>("wgpu failed while waiting: no memory at all".to_owned());
        assert_eq!(contain("waiting", || panic!("no memory\nat all")), expected);
        let failing = async { panic!("no {}", "memory at all") };
        assert_eq!(pollster::block_on(contain_async("waiting", failing)), expected);
        assert_eq!(pollster::block_on(contain_async("waiting", async { 7 })), Ok(7));
    }
}
