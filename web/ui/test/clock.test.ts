import { afterEach, describe, expect, test, vi } from 'vitest';
import { noteServerDate, serverNow, whenClockChanges } from '../src/lib/clock';
import { isMuted } from '../src/lib/notify';

afterEach(() => vi.useRealTimers());

describe('the server’s time', () => {
  const device = Date.parse('2026-03-01T12:00:00Z');
  const at = (time: string): string => new Date(time).toUTCString();

  test('is taken from its answers, however wrong the device’s clock is', () => {
    vi.useFakeTimers({ toFake: ['Date'], now: device });
    const changed = vi.fn();
    whenClockChanges(changed);
    noteServerDate(at('2026-03-01T12:00:01Z')); // the way of the answer
    expect(serverNow()).toBe(device);
    expect(changed).not.toHaveBeenCalled();

    noteServerDate(at('2026-03-01T09:00:00Z'));
    expect(serverNow()).toBe(Date.parse('2026-03-01T09:00:00.500Z'));
    expect(changed).toHaveBeenCalledOnce();
    // A mute of an hour has not ended, although the device's clock is past its end.
    const muted = { notify: 'all' as const, muted_until: '2026-03-01T10:00:00Z' };
    expect([isMuted(muted, device), isMuted(muted, serverNow())]).toEqual([false, true]);

    noteServerDate(null);
    noteServerDate('nonsense');
    noteServerDate(at('2026-03-01T09:00:02Z'));
    expect(changed).toHaveBeenCalledOnce();
    noteServerDate(at('2026-03-01T12:00:00Z')); // it was set right
    expect(serverNow()).toBe(device);
  });
});
