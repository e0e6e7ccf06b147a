"""The inventory state of all hosts: libvirt's facts and database rows, combined into API values."""
