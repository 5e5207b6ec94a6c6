"""Two-arm tray lift: two Frankas carry a tray to a stand together, then pass a part over it from one to the other."""
