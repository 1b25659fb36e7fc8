#!lua flags=no-writes
-- depths: count a queue's window, whatever its epoch.
-- KEYS  1 meta  2 high  3 normal  4 low  5 leases  6 lost
-- ARGV  none
-- Returns {OK, epoch, seq, paused, high, normal, low, leased, lost, first deadline (ms), now (ms)}.
-- Re-sending is safe: it changes nothing.
--#include clock
--#include window
return window(unpack(KEYS))
