"""Two-arm tray lift: two Frankas carry a tray to a stand together, then one hands over a part to the other on the tray."""
