# Part of the template: changes belong there (`copier update` merges this file).
"""An X display of its own for each session, on this machine.

- `xserver`      the display: its X server, its window manager, and the programs on it
- `x11`          its screen, mouse and keyboard, over a connection to the X server
- `processes`    the server's side of `keeper`
- `keeper`       a program that runs the programs of one display and ends them all, also when the server is killed
- `forks`        the server's side of `fork_server`
- `fork_server`  a program that holds Python and tkinter in memory, and forks keepers and applications
- `commands`     how a shell command is confined
"""
