"""Starts ministack, a stand-in for AWS. A file holds the seconds by which its clock is ahead of the real time.

Ends when its standard input is closed, so that it does not outlive the process that started it."""

import os
import sys
import threading
import time

real_time = time.time


def moved_time():
    try:
        with open(os.environ["CLOCK_FILE"]) as file:
            return real_time() + float(file.read() or 0)
    except OSError:
        return real_time()


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


time.time = moved_time
threading.Thread(target=end_with_parent, daemon=True).start()
sys.argv = ["ministack"]

from ministack.app import main

main()
