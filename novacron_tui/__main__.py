"""`python -m novacron_tui` runs `novacron`."""

from novacron_tui.startup.start import main

if __name__ == "__main__":
    main()
