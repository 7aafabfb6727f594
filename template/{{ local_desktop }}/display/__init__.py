# Part of the template: changes belong there (`copier update` merges this file).
"""An X display of its own for each session, on this machine.

- `keeper`     a program that runs the programs of one display and ends them all, also when the server is killed
- `processes`  the server's side of it
- `x11`        the display's screen, mouse and keyboard, over a connection of one's own
- `commands`   how a shell command is confined
"""
